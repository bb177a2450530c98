"""Strict YAML: a file becomes a validated value, or an error naming file, line and fix.

Duplicate keys, unknown keys, wrong types, aliases and YAML 1.1's traps (an unquoted 20:00 is a
number in base 60, an unquoted `no` is false, 0300 is 192) are all refused, and so is whatever else
makes the parser stumble: no other error leaves this module, so that one file cannot hinder another.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from reengage.errors import ConfigurationError

M = TypeVar("M", bound=BaseModel)
KeyPath = tuple[Hashable, ...]

_TRAPS = (
    (re.compile(r"\d+(:\d+)+"), "is a number in base 60 to YAML, or nearly one; quote it"),
    (re.compile(r"(?i:y|n|yes|no|on|off)"), "is true or false to YAML; write that, or quote it"),
    (re.compile(r"[-+]?0[\d_]+"), "is an octal number to YAML; quote it, or drop the zero"),
)
"""Plain scalars that YAML 1.1 reads otherwise than people do."""


@dataclass(frozen=True)
class Problem:
    """One thing to mend: where, and how."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class FileError(ConfigurationError):
    """A configuration file has problems; `problems` lists them in the order of their lines."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(frozen=True)
class LoadedFile:
    """A file's content and the line of every key path in it."""

    shown_as: str
    content: dict[str, Any]
    lines: dict[KeyPath, int]

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A problem at the line of `path`, or of the nearest enclosing key."""
        while path and path not in self.lines:
            path = path[:-1]
        return Problem(self.shown_as, self.lines.get(path, 1), message)


def load_yaml_model(path: Path, model: type[M], *, shown_as: str | None = None) -> M:
    """The file as a value of `model`. Raises FileError with every problem found."""
    name = shown_as or path.name
    found: M = _understood(_read_text(path, name), name, model)
    return found


@lru_cache(maxsize=64)
def _understood(text: str, name: str, model: type[M]) -> M:
    """Once per text: a sender reads its vendor's entry before each batch, as it may change."""
    return validate(_parsed(text, name), model)


def load_yaml(path: Path, *, shown_as: str | None = None) -> LoadedFile:
    """The file's mapping and its line numbers. Raises FileError when it is no YAML mapping."""
    name = shown_as or path.name
    return _parsed(_read_text(path, name), name)


def _parsed(text: str, name: str) -> LoadedFile:
    try:
        node = _composed(text)
        if not isinstance(node, yaml.MappingNode):
            message = "empty, or not a mapping; write `key: value` lines"
            raise FileError([Problem(name, 1, message)])
        lines: dict[KeyPath, int] = {}
        problems: list[Problem] = []
        _note_lines(node, (), lines, problems, name)
        if problems:
            raise FileError(problems)
        return LoadedFile(name, yaml.SafeLoader("").construct_document(node), lines)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise FileError([Problem(name, line, f"not YAML: {error.problem}")]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"holds the control character U+{ord(text[error.position]):04X}; remove it"
        raise FileError([Problem(name, line, message)]) from None
    except RecursionError:
        raise FileError([Problem(name, 1, "nested too deeply; write it flat")]) from None


def _composed(text: str) -> yaml.Node | None:
    """The tree by libyaml, ten times as fast, where both parsers read alike; else by PyYAML's own,
    which says what is wrong.
    """
    if not _READ_OTHERWISE.search(text):
        with suppress(yaml.YAMLError, UnicodeError):
            if not any(map(_is_read_otherwise, yaml.parse(text, _Fast))):
                return yaml.compose(text, _Fast)
    return yaml.compose(text, _Loader)


_Fast = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, which PyYAML's wheels have."""
_READ_OTHERWISE = re.compile(r"\t|\ufeff|[|>][-+0-9]*#")
"""What libyaml takes and PyYAML's own parser refuses: a file means the same with either."""


def _is_read_otherwise(event: yaml.Event) -> bool:
    """An alias, which is refused, and the tag `!`, under which nothing is null or an empty text."""
    return isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None) == "!"


class _Loader(yaml.SafeLoader):
    """Without aliases: a value that stands elsewhere has no line of its own, and may be endless."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(
                None, None, "an alias (*); write the value out where it is needed", mark
            )
        return super().compose_node(parent, index)


def _read_text(path: Path, name: str) -> str:
    try:
        octets = path.read_bytes()
    except FileNotFoundError:
        message = "the file is missing; create it or mend the name"
        raise FileError([Problem(name, 1, message)]) from None
    except OSError as error:
        message = f"the file cannot be read ({error.strerror}); make it a readable file"
        raise FileError([Problem(name, 1, message)]) from None
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets[: error.start].count(b"\n") + 1
        raise FileError([Problem(name, line, "not UTF-8; save the file as UTF-8")]) from None


def validate(file: LoadedFile, model: type[M]) -> M:
    """The content as a value of `model`. Raises FileError with every problem found."""
    try:
        return model.model_validate(file.content)
    except ValidationError as error:
        problems = [_translated(file, model, found) for found in error.errors()]
        raise FileError(problems) from None


def _note_lines(
    node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], problems: list[Problem], name: str
) -> None:
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            line = key.start_mark.line + 1
            if fault := _key_fault(key):
                problems.append(Problem(name, line, fault))
                continue
            below = (*path, key.value)
            if below in lines:
                problems.append(Problem(name, line, f"key {key.value!r} is given twice; keep one"))
            lines[below] = line
            _note_lines(value, below, lines, problems, name)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _note_lines(value, (*path, index), lines, problems, name)
    elif fault := _scalar_fault(node):
        problems.append(Problem(name, line, fault))


def _key_fault(key: yaml.Node) -> str | None:
    if key.tag == "tag:yaml.org,2002:str" and isinstance(key, yaml.ScalarNode):
        return None
    shown = repr(key.value) if isinstance(key, yaml.ScalarNode) else "a list or mapping"
    return f"key {shown} is not a plain word; write a name, or quote it"


def _scalar_fault(node: yaml.Node) -> str | None:
    """What is wrong with a value that YAML reads otherwise than it looks, or cannot read."""
    if not getattr(node, "style", None):  # plain: None, or "" of libyaml
        for trap, fault in _TRAPS:
            if trap.fullmatch(node.value):
                return f"{node.value} {fault}"
    try:
        yaml.SafeLoader("").construct_object(node)
    except yaml.YAMLError:
        return f"the tag {node.tag!r} is not taken; write the plain value"
    except ValueError:  # a date such as 2023-02-30, a number of thousands of digits
        return f"{node.value[:40]} is no date or number; mend it"
    except (LookupError, AttributeError):
        return f"the tag {node.tag!r} does not fit the value; write the plain value"
    return None


def _translated(file: LoadedFile, model: type[BaseModel], found: Any) -> Problem:
    path = tuple(part for part in found["loc"] if part != "[key]")
    key = path[-1] if path else ""
    if found["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(key), _known_keys(model, path[:-1]), n=1)
        hint = f", did you mean {near[0]!r}?" if near else "; remove it"
        return file.problem(path, f"unknown key {key!r}{hint}")
    if found["type"] == "missing":
        purpose = _description(model, path)
        return file.problem(path[:-1], f"key {key!r} is missing{': ' + purpose if purpose else ''}")
    message = found["msg"].removeprefix("Value error, ")
    return file.problem(path, f"{'.'.join(map(str, path))}: {message[0].lower()}{message[1:]}")


def _model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    current: type[BaseModel] | None = model
    for part in path:
        if current is None:
            return None
        fields = {field.alias or name: field for name, field in current.model_fields.items()}
        if part not in fields:
            continue  # a key of a dict or an index of a list: the same model goes on
        current = _nested_model(fields[str(part)].annotation)
    return current


def _nested_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _nested_model(argument)) is not None:
            return found
    return None


def _known_keys(model: type[BaseModel], path: KeyPath) -> list[str]:
    at = _model_at(model, path)
    return [field.alias or name for name, field in at.model_fields.items()] if at else []


def _description(model: type[BaseModel], path: KeyPath) -> str:
    at = _model_at(model, path[:-1])
    if at is None:
        return ""
    fields = {field.alias or name: field for name, field in at.model_fields.items()}
    return fields[str(path[-1])].description or "" if str(path[-1]) in fields else ""
