"""The parts of a condition's expression, as Polars has it: what each computes and from what, and the cost of all of them."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import NamedTuple

import polars as pl

__all__ = ["Part", "balanced", "overhead", "parts_of"]

_JOINS, _ARITHMETIC = ("&", "|"), ("+", "-", "*", "/", "//", "%")
_AT_ONCE = 64  # parts that are looked at in about a millisecond
_LONG = 8  # conditions joined by and, or by or, beyond which they are joined as a tree
_CALL_COST, _PART_COST, _DEPTH_COST = 1 << 16, 1 << 10, 1 << 7  # comparisons that Polars could make meanwhile
_ARGUMENTS = ("not", "sql_is_in", "starts_with", "ends_with")
_SIGN = re.compile(r"\) (\S+) \(")
_CALL = re.compile(r"(?:\.str|\.list)?\.(\w+)\(")


class Part(NamedTuple):
    """A part of an expression.

    Attributes:
        expression: the part.
        operation: its sign or function, such as "==" or "starts_with"; empty for a column or a value. "not" is what it makes
            of a value that is not known to be true or false.
        inputs: what it is computed from, in their order.
        nested: of a sum, whether an input is a sum, difference, product or quotient too.
    """

    expression: pl.Expr
    operation: str
    inputs: tuple[pl.Expr, ...]
    nested: bool

    @property
    def compares(self) -> bool:
        """Whether it compares, or may compare, its inputs."""
        return len(self.inputs) > 1 and self.operation not in _JOINS and self.operation not in _ARITHMETIC

    def is_checked(self, timed: bool) -> bool:
        """Whether its types matter; of comparisons only where there are times."""
        if self.operation == "+":
            return not self.nested
        return self.operation in _ARGUMENTS or (timed and self.compares)


def parts_of(expression: pl.Expr) -> Generator[None, None, list[Part]]:
    """Every part of an expression, each once; some at a time."""
    found: list[tuple[pl.Expr, str, tuple[pl.Expr, ...]]] = []
    nested: set[int] = set()  # those that have a sum, difference, product or quotient among their inputs
    waiting = [(expression, -1)]
    while waiting:
        node, outer = waiting.pop()
        inputs = _inputs(node)
        operation = _operation(node, inputs)
        if operation in _ARITHMETIC:
            nested.add(outer)
        waiting += [(one, len(found)) for one in inputs]
        found.append((node, operation, inputs))
        if len(found) % _AT_ONCE == 0:
            yield
    names = {"strict_cast": "not"}  # not makes its value true or false first
    return [
        Part(node, names.get(operation, operation), inputs, operation == "+" and number in nested)
        for number, (node, operation, inputs) in enumerate(found)
    ]


def balanced(expression: pl.Expr) -> pl.Expr:
    """The same condition, its chains of and and of or as trees: Polars takes the square of the depth of what it computes."""
    joined = _inputs(expression)
    sign = _operation(expression, joined)
    if sign not in _JOINS:
        return expression
    found, waiting = [], [*reversed(joined)]
    while waiting:
        node = waiting.pop()
        inputs = _inputs(node)
        if _operation(node, inputs) == sign:
            waiting += reversed(inputs)
        else:
            found.append(node)
    if len(found) <= _LONG:
        return expression
    found = [balanced(one) for one in found]
    while len(found) > 1:
        pairs = zip(found[::2], found[1::2], strict=False)
        last = found[len(found) // 2 * 2 :]
        found = [first & second if sign == "&" else first | second for first, second in pairs] + last
    return found[0]


def overhead(expression: pl.Expr) -> int:
    """The cost of a call before the first row, in comparisons of numbers."""
    parts, deepest, waiting = 0, 0, [(expression, 1)]
    while waiting:
        node, depth = waiting.pop()
        parts, deepest = parts + 1, max(deepest, depth)
        waiting += [(one, depth + 1) for one in node.meta.pop()]
    return _CALL_COST + _PART_COST * parts + _DEPTH_COST * deepest**2


def _inputs(node: pl.Expr) -> tuple[pl.Expr, ...]:
    """The inputs of a part of an expression, in their order."""
    return tuple(reversed(node.meta.pop()))


def _operation(node: pl.Expr, inputs: tuple[pl.Expr, ...]) -> str:
    """The sign or the function of a part of an expression, as Polars writes it after its first input."""
    if not inputs:
        return ""
    text, first = str(node), str(inputs[0])
    match = _CALL.match(text, len(first)) if text.startswith(first) else _SIGN.match(text, len(first) + 2)
    return match[1] if match else ""
