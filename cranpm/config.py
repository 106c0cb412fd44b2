"""Strict YAML: a file becomes frozen dataclasses, or an error that names the file, the line and the way out.

Every key must be known, every value of its declared type; nothing is guessed and no tag of YAML runs code.
The dataclasses are the schema: `int`, `float`, `str`, `bool`, `Path`, `Literal[...]`, `X | None`, `tuple[X, ...]`,
`dict[str, X]` and further dataclasses. A field with a default may be left out.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import yaml

from cranpm.errors import CranpmError

T = TypeVar("T")
Key = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_FOUND = {"bool": "true/false", "int": "a whole number", "float": "a number", "null": "nothing", "seq": "a list"}
_FOUND |= {"map": "a mapping", "str": "text", "timestamp": "a date"}
_EXPECTED: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false"}
_EXPECTED |= {str: "text", Path: "a path"}


@dataclass(frozen=True)
class Document(Generic[T]):
    """A parsed file: its value, and the line of every key for errors found later.

    Attributes:
        value: the dataclass.
        source: name of the file as errors print it.
        lines: line (from 1) of each key, e.g. ("fine", "north").
    """

    value: T
    source: str
    lines: dict[Key, int]

    def error(self, key: Key, message: str) -> CranpmError:
        """An error about a key, naming file and line of the key or of its nearest parent that was written."""
        return CranpmError(f"{self.where(key)}: {message}")

    def where(self, key: Key) -> str:
        """`file:line` of a key, or of its nearest parent that was written."""
        while key and key not in self.lines:
            key = key[:-1]
        return f"{self.source}:{self.lines[key]}"


def read_config(path: str | Path, schema: type[T]) -> T:
    """Read a YAML file as the dataclass `schema`.

    Raises:
        CranpmError: the file is missing, is not YAML, or does not fit the schema (file:line and what to do).
    """
    return read_document(path, schema).value


def read_document(path: str | Path, schema: type[T]) -> Document[T]:
    """Like `read_config`, keeping the lines of the keys."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise CranpmError(f"{path}: cannot be read ({error.strerror}); give the path of a YAML file") from error
    except UnicodeDecodeError as error:
        raise CranpmError(f"{path}: not a text file in UTF-8 (byte {error.start})") from error
    return parse_document(text, schema, source=str(path))


def parse_document(text: str, schema: type[T], *, source: str) -> Document[T]:
    """Parse YAML text as the dataclass `schema`; `source` is the file name that errors print.

    Raises:
        CranpmError: the text is not YAML or does not fit the schema.
    """
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise CranpmError(f"{source}:{line}: aliases (*{event.anchor}) are not read; write the value out")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        raise CranpmError(f"{source}:{line}: not valid YAML ({error.problem or error.context})") from error
    except yaml.YAMLError as error:
        raise CranpmError(f"{source}:1: not valid YAML ({str(error).splitlines()[0]})") from error
    if node is None:
        raise CranpmError(f"{source}:1: the file is empty; expected the keys {_names(schema)}")
    reader = _Reader(source)
    value = reader.read(node, schema, ())
    return Document(value, source, reader.lines)


def nearest(word: str, known: Sequence[str]) -> str:
    """`; did you mean 'x'?` for the closest known word, else the list of all of them."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"


@dataclass
class _Reader:
    """Turns nodes into values, remembering the line of every key."""

    source: str
    lines: dict[Key, int] = dataclasses.field(default_factory=dict)

    def read(self, node: yaml.Node, kind: Any, key: Key) -> Any:
        self.lines.setdefault(key, node.start_mark.line + 1)
        if not node.tag.startswith(_TAG) or node.tag.removeprefix(_TAG) not in _FOUND:
            raise self.error(node, f"{_dotted(key)}: the tag '{node.tag}' is not read here; write a plain value")
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin in (types.UnionType, typing.Union):
            return self.read_union(node, arguments, key)
        if dataclasses.is_dataclass(kind):
            return self.read_dataclass(node, typing.cast(type, kind), key)
        if origin is tuple:
            return self.read_tuple(node, arguments, key)
        if origin is dict:
            return {name: self.read(v, arguments[1], (*key, name)) for name, v in self.items(node, key)}
        if origin is Literal:
            return self.read_choice(node, arguments, key)
        return self.read_scalar(node, kind, key)

    def read_dataclass(self, node: yaml.Node, kind: type, key: Key) -> Any:
        fields = {field.name: field for field in dataclasses.fields(kind)}
        hints = typing.get_type_hints(kind)
        values = {}
        for name, child in self.items(node, key):
            if name not in fields:
                line = self.lines[(*key, name)]
                where = f" in '{_dotted(key)}'" if key else ""
                message = f"unknown key '{name}'{where}; {nearest(name, list(fields))}"
                raise CranpmError(f"{self.source}:{line}: {message}")
            values[name] = self.read(child, hints[name], (*key, name))
        missing = [name for name, field in fields.items() if name not in values and _required(field)]
        if missing:
            raise self.error(node, f"missing {_list(missing)}{f' in {_dotted(key)!r}' if key else ''}")
        try:
            return kind(**values)
        except CranpmError as error:
            raise self.error(node, f"{_dotted(key)}: {error}") from error

    def read_union(self, node: yaml.Node, kinds: tuple[Any, ...], key: Key) -> Any:
        if type(None) in kinds:
            if node.tag == f"{_TAG}null":
                return None
            kinds = tuple(kind for kind in kinds if kind is not type(None))
        for kind in kinds[:-1]:
            lines = dict(self.lines)
            try:
                return self.read(node, kind, key)
            except CranpmError:
                self.lines = lines
        return self.read(node, kinds[-1], key)

    def read_tuple(self, node: yaml.Node, kinds: tuple[Any, ...], key: Key) -> tuple[Any, ...]:
        if not isinstance(node, yaml.SequenceNode):
            raise self.unexpected(node, "a list", key)
        if kinds[-1] is Ellipsis:
            kinds = (kinds[0],) * len(node.value)
        if len(kinds) != len(node.value):
            raise self.error(node, f"{_dotted(key)}: {len(node.value)} values, expected {len(kinds)}")
        pairs = zip(node.value, kinds, strict=True)
        return tuple(self.read(child, kind, (*key, i)) for i, (child, kind) in enumerate(pairs))

    def read_choice(self, node: yaml.Node, choices: tuple[Any, ...], key: Key) -> Any:
        for choice in choices:
            if isinstance(node, yaml.ScalarNode) and node.value == str(choice):
                return choice
        found = node.value if isinstance(node, yaml.ScalarNode) else self.found(node)
        raise self.error(node, f"{_dotted(key)}: '{found}' is none of {', '.join(map(str, choices))}")

    def read_scalar(self, node: yaml.Node, kind: Any, key: Key) -> Any:
        tag = node.tag.removeprefix(_TAG)
        if kind in (str, Path) and tag in ("str", "timestamp"):
            return kind(node.value)
        if (kind, tag) in ((bool, "bool"), (int, "int")):
            return yaml.constructor.SafeConstructor().construct_object(node)
        if kind is float and isinstance(node, yaml.ScalarNode) and node.style is None and tag != "bool":
            number = _number(node.value)
            if number is not None:
                return number
        raise self.unexpected(node, _EXPECTED[kind], key)

    def items(self, node: yaml.Node, key: Key) -> list[tuple[str, yaml.Node]]:
        """Names and nodes of a mapping, their lines remembered."""
        if not isinstance(node, yaml.MappingNode):
            raise self.unexpected(node, "a mapping (key: value)", key)
        items = []
        for name, child in node.value:
            if not isinstance(name, yaml.ScalarNode):
                raise self.error(name, f"{_dotted(key)}: a key must be a word")
            if (*key, name.value) in self.lines:
                first = self.lines[(*key, name.value)]
                raise self.error(name, f"the key '{name.value}' is written twice (first in line {first})")
            self.lines[(*key, name.value)] = name.start_mark.line + 1
            items.append((name.value, child))
        return items

    def unexpected(self, node: yaml.Node, expected: str, key: Key) -> CranpmError:
        hint = "; put it in quotes" if expected == "text" and isinstance(node, yaml.ScalarNode) else ""
        return self.error(node, f"{_dotted(key) or 'the file'}: expected {expected}, found {self.found(node)}{hint}")

    def found(self, node: yaml.Node) -> str:
        kind = _FOUND[node.tag.removeprefix(_TAG)]
        return f"{kind} ({node.value})" if isinstance(node, yaml.ScalarNode) and node.value else kind

    def error(self, node: yaml.Node, message: str) -> CranpmError:
        return CranpmError(f"{self.source}:{node.start_mark.line + 1}: {message}")


def _number(text: str) -> float | None:
    """A finite decimal number (YAML 1.1 reads 1e-6 as text), else None."""
    try:
        number = float(text.replace("_", ""))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _dotted(key: Key) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).removeprefix(".")


def _names(schema: Any) -> str:
    return ", ".join(field.name for field in dataclasses.fields(schema))


def _list(names: Sequence[str]) -> str:
    return ("key " if len(names) == 1 else "keys ") + ", ".join(f"'{name}'" for name in names)
