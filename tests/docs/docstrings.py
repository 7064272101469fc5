"""Every docstring of the source, and what is wrong with its form."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from types import ModuleType

from tests.docs.source import trees

import shortlist as sl
from shortlist._public import ROOMS

SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises", "Example")
OTHER_NAMES = {
    "Arguments": "Args",
    "Parameters": "Args",
    "Examples": "Example",
    "Return": "Returns",
    "Throws": "Raises",
}
UNDESCRIBED: tuple[str, ...] = ()
"""Public functions that do not describe each parameter in Args, and need not."""

Definition = ast.ClassDef | ast.FunctionDef


@dataclass(frozen=True)
class Documented:
    """A class or function with a docstring; ``parameters`` and ``members`` are the names that its sections may describe."""

    name: str
    docstring: str
    parameters: tuple[str, ...]
    members: frozenset[str]
    public: bool

    def __str__(self) -> str:
        return self.name


def faults(one: Documented) -> list[str]:
    """What is wrong with the form of a docstring, each as a sentence."""
    prose, sections = _parts(one.docstring)
    found = [] if prose.strip() else ["no line of purpose"]
    found += [
        f"the section is called {name}, not {other}"
        for other, name in OTHER_NAMES.items()
        if re.search(rf"^{other}:$", prose, flags=re.MULTILINE)
    ]
    order = [SECTIONS.index(name) for name in sections]
    found += [
        f"{SECTIONS[second]} comes after {SECTIONS[first]}" for first, second in pairwise(order) if second < first
    ]
    found += [f"Args: {name} is not a parameter" for name in _entries(sections, "Args") if name not in one.parameters]
    found += [f"Attributes: there is no {name}" for name in _entries(sections, "Attributes") if name not in one.members]
    found += [f"Raises: there is no {name}" for name in _entries(sections, "Raises") if name not in errors()]
    found += [
        f"a parameter is described outside Args: {match[1]}"
        for match in re.finditer(r"(?:^|[.;] )([a-z_]\w*)(?:, [a-z_]\w*)*: ", prose, flags=re.MULTILINE)
        if match[1] in one.parameters
    ]
    found += [
        f"an error is described outside Raises: {match[0].strip()}"
        for match in re.finditer(r"\bRaises `{0,2}(\w+)", prose)
        if match[1] in errors()
    ]
    if one.public:
        found += [
            f"an error is described outside Raises: {match[0]}"
            for match in re.finditer(r"\b(\w+) (?:where|unless|for|if|when)\b", prose)
            if match[1] in errors()
        ]
    if re.search(r"^>>> ", prose, flags=re.MULTILINE):
        found.append("a code example is outside Example")
    if one.public and one.name not in UNDESCRIBED:
        found += [f"Args does not describe: {', '.join(undescribed(one))}"] if undescribed(one) else []
    return found


def undescribed(one: Documented) -> list[str]:
    """The parameters without a description; a single one may be described by the one sentence that there is."""
    _, sections = _parts(one.docstring)
    if len(one.parameters) < 2 and "Args" not in sections:
        return []
    described = {*_entries(sections, "Args"), *_entries(sections, "Attributes")}
    return [name for name in one.parameters if name not in described]


@cache
def documented() -> list[Documented]:
    """Every class and function of the source that has a docstring; public are the names of the package and their methods."""
    public = _public()
    found = []
    for place, tree in trees().items():
        module = ".".join(["shortlist", *place.with_suffix("").parts])
        for node, owner in _definitions(tree, None):
            outer = owner if owner is not None else node
            promised = (module, outer.name) in public and outer in tree.body and node.name[0] != "_"
            promised = promised and _constructed_here(node)
            name = node.name if owner is None else f"{owner.name}.{node.name}"
            if ast.get_docstring(node):
                found.append(_documented(node, f"{place}:{name}", promised))
    return found


def source(code: str, public: bool = False) -> Documented:
    """The one definition of a piece of code."""
    (node,) = ast.parse(code).body
    assert isinstance(node, Definition)
    return _documented(node, node.name, public)


@cache
def errors() -> frozenset[str]:
    """Names of exceptions and warnings: Python's, and those that are defined in the source."""
    python = {
        name for name, value in vars(builtins).items() if inspect.isclass(value) and issubclass(value, BaseException)
    }
    return frozenset(python | {name for name, one in _classes().items() if _is_error(one, python)})


def _is_error(one: ast.ClassDef, python: set[str]) -> bool:
    return any(ast.unparse(base) in python for each in _family(one) for base in each.bases)


def _definitions(tree: ast.AST, owner: Definition | None) -> list[tuple[Definition, Definition | None]]:
    found: list[tuple[Definition, Definition | None]] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Definition):
            found += [(node, owner), *_definitions(node, node)]
        else:
            found += _definitions(node, owner)
    return found


def _documented(node: Definition, name: str, public: bool) -> Documented:
    parameters = _parameters(node)
    members = frozenset(_members(node)) if isinstance(node, ast.ClassDef) else frozenset()
    return Documented(name, ast.get_docstring(node) or "", tuple(parameters), members, public)


@cache
def _public() -> set[tuple[str, str]]:
    """Module and name of what the package and the modules among its names make public, and of the classes behind it."""
    named = [getattr(sl, name) for name in ROOMS]
    within = [getattr(one, name) for one in named if isinstance(one, ModuleType) for name in one.__all__]
    classes = [base for one in [*named, *within] if inspect.isclass(one) for base in one.__mro__]
    functions = [one for one in [*named, *within] if inspect.isfunction(one)]
    return {(one.__module__, one.__name__) for one in [*classes, *functions]}


def _constructed_here(node: Definition) -> bool:
    """False for a class that takes its constructor from another one, which describes it."""
    own = [one for one in node.body if isinstance(one, ast.AnnAssign) or getattr(one, "name", "") == "__init__"]
    return isinstance(node, ast.FunctionDef) or bool(own)


def _parameters(node: Definition) -> list[str]:
    """Names that a call gives, of a class those of its ``__init__`` or its fields."""
    if isinstance(node, ast.ClassDef):
        for one in _family(node):
            for made in one.body:
                if isinstance(made, ast.FunctionDef) and made.name == "__init__":
                    return _parameters(made)
        return [
            field.target.id
            for one in reversed(_family(node))
            for field in one.body
            if isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and "ClassVar" not in ast.unparse(field.annotation)
            and not field.target.id.startswith("_")
        ]
    given = node.args
    several = [one for one in (given.vararg, given.kwarg) if one]
    names = [one.arg for one in [*given.posonlyargs, *given.args, *given.kwonlyargs, *several]]
    return [name for name in names if name not in ("self", "cls", "_") and not name.startswith("_")]


def _members(node: ast.ClassDef) -> set[str]:
    """Names of a class's methods, properties and attributes."""
    found: set[str] = set()
    for one in _family(node):
        for inner in ast.walk(one):
            if isinstance(inner, ast.FunctionDef):
                found.add(inner.name)
            elif isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
                found.add(inner.target.id)
            elif isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name) and inner.value.id == "self":
                found.add(inner.attr)
            elif isinstance(inner, ast.Name):
                found.add(inner.id)
    return found


def _family(node: ast.ClassDef) -> list[ast.ClassDef]:
    """A class and those that it inherits from, as far as they are in the source."""
    bases = [ast.unparse(base).split("[")[0].split(".")[-1] for base in node.bases]
    known = [_classes()[base] for base in bases if base in _classes() and base != node.name]
    return [node, *(inner for base in known for inner in _family(base))]


@cache
def _classes() -> dict[str, ast.ClassDef]:
    return {node.name: node for tree in trees().values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def _parts(docstring: str) -> tuple[str, dict[str, list[str]]]:
    """What is before and between sections, and each section's lines."""
    prose: list[str] = []
    sections: dict[str, list[str]] = {}
    inside: list[str] = prose
    for line in docstring.splitlines():
        head = re.fullmatch(rf"({'|'.join(SECTIONS)}):", line)
        if head:
            inside = sections.setdefault(head[1], [])
        elif line and not line.startswith(" "):
            inside = prose
            prose.append(line)
        else:
            inside.append(line)
    return "\n".join(prose), sections


def _entries(sections: dict[str, list[str]], name: str) -> list[str]:
    """The names that a section describes."""
    found = [re.match(r" {4}(\*{0,2}\w+(?:, \*{0,2}\w+)*): ", line + " ") for line in sections.get(name, ())]
    return [match[1].lstrip("*") for match in found if match]
