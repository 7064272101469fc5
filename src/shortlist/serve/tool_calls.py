"""A server of the Model Context Protocol that refuses arguments which do not fit a tool in one line."""

from __future__ import annotations

from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import Tool
from pydantic import ValidationError

from shortlist.errors import did_you_mean

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
    """The package's server; it ignores arguments that a tool does not have, and its errors are several lines with an address."""

    async def list_tools(self) -> list[Tool]:
        """The tools; their schemas take no other arguments than those they name."""
        tools = await super().list_tools()
        closed = {"additionalProperties": False}
        return [tool.model_copy(update={"input_schema": tool.input_schema | closed}) for tool in tools]

    async def call_tool(self, name: str, arguments: dict[str, Any], context: Any = None) -> Any:
        """Call a tool by name.

        Raises:
            ToolError: for arguments that do not fit, in one line, and for what the tool itself refuses.
        """
        await self._check_names(name, arguments)
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            if not isinstance(error.__cause__, ValidationError):
                raise
            argument = str(error.__cause__.errors()[0]["loc"][0])
            came = f"is {arguments[argument]!r:.{LONGEST}}" if argument in arguments else "is missing"
            raise ToolError(f"{name}: {argument} {came}; {EXPECTED[argument]} was expected.") from error

    async def _check_names(self, name: str, arguments: dict[str, Any]) -> None:
        """Check the names of a tool's arguments.

        Raises:
            ToolError: for the first that it does not have.
        """
        known = [list(tool.input_schema["properties"]) for tool in await self.list_tools() if tool.name == name]
        for unknown in (one for names in known for one in arguments if one not in names):
            hint = did_you_mean(unknown[:LONGEST], known[0]) if known[0] else "it has none"
            raise ToolError(f"{name}: there is no argument {unknown!r:.{LONGEST}}; {hint}")
