"""Template files: reading them with what they include, and the rules each must keep.

Compiles no MJML, renders nothing: cheap enough for the parse time of a DAG file. Every problem
names file, line and fix. What a template may do is bounded here: show a value, choose on what the
practice says, include a file. No filter, test, call or escape switch, so that nothing hides an
error, computes or lets markup through; a field or link of the letter's own only shown, so that
letters differ nowhere else (ADR 0023); no field where others than the patient read it (TRK-05);
nothing that a mail client would fetch (TRK-03).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import jinja2
from jinja2 import meta, nodes

from reengage.errors import ConfigurationError
from reengage.practice import Practice

PORTAL_LINK = "portal_link"
"""The way to a letter in the portal: for its notice, the template folder `portal`, only."""

LINKS = frozenset({"opt_out_url", "opt_out_mailto", PORTAL_LINK})
"""What else is of one letter's own; nothing of a patient."""

CONTEXT = LINKS | {"practice"}
"""What a template may use besides the campaign's fields."""

FETCHES = re.compile(
    r"(?=[<sbu@])(?:"  # four times as fast on a page as without
    r"<(?:img|link|script|iframe|object|embed|video|audio|source|form|base)\b|\bsrc(?:set)?\s*="
    r"|\bbackground\s*=|\burl\s*\(|@import|@font-face"
    r"|<mj-(?:image|font|social|carousel|accordion|hero|navbar)\b)",
    re.IGNORECASE | re.ASCII,
)
"""What would make a mail client fetch something, in MJML or in the HTML it compiles to.

HTML and CSS tell letters apart without regard to case in ASCII only."""

_PRACTICE = frozenset({*Practice.model_fields, "phone_link"})
_COMPUTES = (nodes.Filter, nodes.Test, nodes.Call, nodes.ScopedEvalContextModifier)
_INCLUDE = re.compile(r"""<mj-include\b[^>]*?\bpath\s*=\s*["']([^"']+)""")
# Shown before the letter is opened, or given to whoever serves the link.
_EXPOSED = re.compile(
    # Within a word no attribute begins: asking at each letter takes twice as long.
    r'<mj-(?:preview|title)>(.*?)(?=</mj-)|(?<![\w-])[\w-]+\s*=\s*"([^"]*)"',
    re.DOTALL,
)
_PARSER = jinja2.Environment(autoescape=True)


@dataclass(frozen=True)
class TemplateFile:
    """A file below templates/, and its syntax tree."""

    path: str
    text: str
    tree: nodes.Template

    def fields(self) -> dict[str, int]:
        """The fields it uses, each with the line of its first use."""
        return dict(_uses(self.path, self.text))

    def links(self) -> frozenset[str]:
        """The links of a letter's own that it uses."""
        return LINKS & _free(self.path, self.text)


def read_files(home: Path, path: str, seen: tuple[str, ...] = ()) -> Iterator[TemplateFile]:
    """A file below templates/ and all that it includes. Raises ConfigurationError."""
    by = f", which templates/{seen[-1]} includes," if seen else ""
    if path in seen or ".." in path or path.startswith("/"):
        raise ConfigurationError(f"templates/{path}{by} includes itself or leaves templates/")
    try:
        text = (home / "templates" / path).read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigurationError(
            f"templates/{path}{by} is missing; create it or mend the name"
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"templates/{path} is not UTF-8; save it as UTF-8") from None
    tree = _parsed(path, text)
    yield TemplateFile(path, text, tree)
    included = [
        *_INCLUDE.findall(text),
        *(name or "" for name in meta.find_referenced_templates(tree)),
    ]
    for name in included:
        yield from read_files(home, name, (*seen, path))


def part_problems(home: Path, part: str, fields: Collection[str]) -> Iterator[str]:
    """What is wrong with a part (subject.txt, body.mjml, body.txt) and all that it includes."""
    is_subject = part.endswith("subject.txt")
    used: set[str] = set()
    links: set[str] = set()
    for file in read_files(home, part):
        found = file.fields()
        used |= set(found)
        links |= file.links()
        for name in sorted(set(found) - set(fields)):
            yield (
                f"templates/{file.path}:{found[name]}: uses {name!r}, which the campaign does not"
                " declare; declare it under `fields` or remove it"
            )
        yield from _exposed_fields(file.path, file.text, whole=is_subject)
        yield from _fetches(file.path, file.text)
    # Both readers of a letter get the same: every field in the text and in the HTML.
    for name in () if is_subject else sorted(set(fields) - used):
        yield (
            f"templates/{part} does not use the declared field {name!r};"
            " use it, or remove it from the campaign's `fields`"
        )
    is_notice = part.startswith("portal/")
    if is_notice and not is_subject and PORTAL_LINK not in links:
        yield f"templates/{part} does not show {PORTAL_LINK!r}; nobody would find the letter"
    if PORTAL_LINK in links and not is_notice:
        yield f"templates/{part} uses {PORTAL_LINK!r}, which only templates/portal may; remove it"


# Shared parts are looked at for every part that includes them.
@lru_cache(maxsize=256)
def _exposed_fields(path: str, text: str, *, whole: bool) -> tuple[str, ...]:
    spans = [(0, text)] if whole else []
    for found in () if whole else _EXPOSED.finditer(text):
        spans.append((found.start(), found.group(1) or found.group(2) or ""))
    # A subject is the same for every letter of a campaign; attributes hold the letter's links.
    allowed = CONTEXT - LINKS if whole else CONTEXT
    return tuple(
        f"{_place(path, text, start)}: {name!r} in a subject, preheader, title or attribute;"
        " show fields in the text of the body only"
        for start, span in spans
        if "{" in span
        for name in _free(path, span) - allowed
    )


@lru_cache(maxsize=256)
def _fetches(path: str, text: str) -> tuple[str, ...]:
    return tuple(
        f"{_place(path, text, found.start())}: {found.group()!r} would make a mail client fetch"
        " something; use text, colours and links only"
        for found in FETCHES.finditer(text)
    )


@lru_cache(maxsize=256)
def _uses(path: str, text: str) -> tuple[tuple[str, int], ...]:
    """The fields that a text uses, each with the line of its first use."""
    free = _free(path, text) - CONTEXT
    uses = [(node.lineno, node.name) for node in _parsed(path, text).find_all(nodes.Name)]
    return tuple((name, line) for line, name in sorted(uses, reverse=True) if name in free)


def _place(path: str, text: str, offset: int) -> str:
    return f"templates/{path}:{text.count(chr(10), 0, offset) + 1}"


@lru_cache(maxsize=1024)  # each text is asked several times
def _free(path: str, text: str) -> frozenset[str]:
    """The names that a text uses and does not set."""
    return frozenset(meta.find_undeclared_variables(_parsed(path, text)))


@lru_cache(maxsize=256)
def _parsed(path: str, text: str) -> nodes.Template:
    try:
        tree = _PARSER.parse(text)
    except jinja2.TemplateSyntaxError as error:
        raise ConfigurationError(f"templates/{path}:{error.lineno}: {error.message}") from None
    for computing in tree.find_all(_COMPUTES):
        raise ConfigurationError(
            f"templates/{path}:{computing.lineno}: a filter, test, call or escape switch, where"
            " a template only shows values; remove it"
        )
    shown = {id(value) for output in tree.find_all(nodes.Output) for value in output.nodes}
    own = meta.find_undeclared_variables(tree) - {"practice"}
    for name in tree.find_all(nodes.Name):
        if name.name in own and id(name) not in shown:
            raise ConfigurationError(
                f"templates/{path}:{name.lineno}: {name.name!r} decides or is computed with, where"
                f" a letter's own values are only shown; write {{{{ {name.name} }}}} by itself, and"
                " choose on the practice only"
            )
    for attribute in tree.find_all(nodes.Getattr):
        of = attribute.node.name if isinstance(attribute.node, nodes.Name) else ""
        if of == "practice" and attribute.attr not in _PRACTICE:
            raise ConfigurationError(
                f"templates/{path}:{attribute.lineno}: the practice has no {attribute.attr!r};"
                f" it has {', '.join(sorted(_PRACTICE))}"
            )
    return tree
