"""A server of the Model Context Protocol that refuses arguments which do not fit a tool in one line."""

from __future__ import annotations

from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import ValidationError

__all__ = ["ToolServer"]

EXPECTED = {
    "query": "an id, text or a whole number,",
    "candidate": "an id, text or a whole number,",
    "text": "a text",
    "history": "a list of candidate ids",
    "where": "a condition as text",
    "k": "a whole number",
    "limit": "a whole number",
    "include_seen": "true or false",
}
LONGEST = 80  # characters of a value that an error repeats


class ToolServer(MCPServer):
    """The package's server; its errors of arguments are several lines with an address."""

    async def call_tool(self, name: str, arguments: dict[str, Any], context: Any = None) -> Any:
        """Call a tool by name.

        Raises:
            ToolError: for arguments that do not fit, in one line, and for what the tool itself refuses.
        """
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            if not isinstance(error.__cause__, ValidationError):
                raise
            argument = str(error.__cause__.errors()[0]["loc"][0])
            came = f"is {arguments[argument]!r:.{LONGEST}}" if argument in arguments else "is missing"
            raise ToolError(f"{name}: {argument} {came}; {EXPECTED[argument]} was expected.") from error
