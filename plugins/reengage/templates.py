"""Templates: what a letter says, per campaign and language; it can show its declared fields only.

A template is a folder `templates/<folder>/<language>` of subject.txt, body.mjml and body.txt, with
shared parts in templates/base; docs/letters.md tells how to write one. MJML is compiled once per
content; Jinja then fills the result in a sandbox, strict about undefined names, escaping in HTML.
Rendering refuses a field that is missing, in excess (PRV-20) or holds a control character (EML-02);
no message carries a value. The rules of the files themselves are in mail/template_files.py.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from reengage.errors import ConfigurationError, LetterError
from reengage.mail.fields import format_field, has_control
from reengage.mail.template_files import FETCHES, PORTAL_LINK, part_problems, read_files
from reengage.practice import Practice

__all__ = [
    "PARTS", "PORTAL_LINK", "Rendered", "Template", "check_template", "format_field",
    "load_template",
]  # fmt: skip

PARTS = ("subject.txt", "body.mjml", "body.txt")


@dataclass(frozen=True)
class Rendered:
    """The three parts of a letter."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True)
class Template:
    """A compiled template. `digest` covers every file of it, shared ones included."""

    name: str
    digest: str
    variables: frozenset[str]
    links: frozenset[str]
    """Links of a letter's own that it shows, of `LINKS`."""
    _subject: jinja2.Template = field(repr=False, compare=False)
    _text: jinja2.Template = field(repr=False, compare=False)
    _html: jinja2.Template = field(repr=False, compare=False)

    def render(
        self,
        fields: Mapping[str, str],
        practice: Practice,
        *,
        opt_out_url: str,
        opt_out_mailto: str,
        portal_link: str | None = None,
    ) -> Rendered:
        """The letter. Raises LetterError naming the field at fault, never its value."""
        self.require(fields, practice, portal_link)
        context = {
            **fields,
            "practice": practice,
            "opt_out_url": opt_out_url,
            "opt_out_mailto": opt_out_mailto,
            PORTAL_LINK: portal_link,
        }
        try:
            parts = [part.render(context) for part in (self._subject, self._text, self._html)]
        except jinja2.TemplateError as error:
            # Its message may quote what the template was given; the kind is enough.
            raise LetterError(
                f"{self.name} does not render: {type(error).__name__}; mend the template"
            ) from None
        if has_control(parts[0]) or not parts[0]:
            raise LetterError(f"{self.name}/subject.txt is not one line of text; mend it")
        return Rendered(*parts)

    def require(
        self, fields: Mapping[str, str], practice: Practice, portal_link: str | None
    ) -> None:
        """Refuse what a letter of this template cannot show, or would have to leave out.

        Raises LetterError naming the field; ConfigurationError for a notice without a portal.
        """
        for name in sorted(self.variables ^ set(fields)):
            fault = "was not given" if name in self.variables else "is given, but not used"
            raise LetterError(
                f"{self.name}: field {name!r} {fault}; make the campaign's `fields` and the"
                " template agree"
            )
        for name, value in fields.items():
            if has_control(value):
                raise LetterError(
                    f"{self.name}: field {name!r} holds a control character; mend it in the source"
                )
        leads_to_portal = PORTAL_LINK in self.links
        if leads_to_portal != (portal_link is not None):
            fault = "was not given" if leads_to_portal else "is given, but not used"
            raise LetterError(f"{self.name}: {PORTAL_LINK!r} {fault}; report this as a defect")
        if leads_to_portal and practice.portal is None:
            raise ConfigurationError(
                f"{self.name} leads to a portal, and practice.yaml has none; add `portal` to it"
            )


def load_template(home: Path, folder: str, language: str) -> Template:
    """The compiled template. Raises ConfigurationError when a part is missing or does not compile.

    Reads the files each time, and compiles only content that it has not compiled before.
    """
    name = f"{folder}/{language}"
    files = {file.path: file for part in PARTS for file in read_files(home, f"{name}/{part}")}
    digest = hashlib.sha256()
    for path, file in sorted(files.items()):
        digest.update(f"{path}\x00{len(file.text)}\x00{file.text}".encode())
    return _compiled(
        _Source(
            name,
            digest.hexdigest(),
            frozenset[str]().union(*(file.fields() for file in files.values())),
            frozenset[str]().union(*(file.links() for file in files.values())),
            {path: file.text for path, file in files.items()},
        )
    )


def check_template(
    home: Path, folder: str, languages: Collection[str], fields: Collection[str]
) -> list[str]:
    """What is wrong with a campaign's template, each with file, line and fix; empty when sound."""
    problems: list[str] = []
    for part in (f"{folder}/{language}/{part}" for language in languages for part in PARTS):
        try:
            problems += part_problems(home, part, fields)
        except ConfigurationError as error:
            problems.append(str(error))
    return list(dict.fromkeys(problems))  # a fault in a shared part is told once


@dataclass(frozen=True)
class _Source:
    """The files of a template; equal when name and content are."""

    name: str
    digest: str
    variables: frozenset[str]
    links: frozenset[str]
    files: Mapping[str, str] = field(repr=False, compare=False)


@lru_cache(maxsize=64)
def _compiled(source: _Source) -> Template:
    files = {**source.files, "body.html": _html(source)}
    plain, escaping = _environment(files, escape=False), _environment(files, escape=True)
    return Template(
        name=f"templates/{source.name}",
        digest=source.digest,
        variables=source.variables,
        links=source.links,
        _subject=plain.get_template(f"{source.name}/subject.txt"),
        _text=plain.get_template(f"{source.name}/body.txt"),
        _html=escaping.get_template("body.html"),
    )


def _html(source: _Source) -> str:
    from mjml import mjml2html  # compiled code, needed only where letters are made

    body = f"{source.name}/body.mjml"
    try:
        html = mjml2html(
            source.files[body],
            disable_comments=True,
            fonts={},  # its default is a list of remote ones
            # No Python: what a signal raised there, the compiler would take for a missing file.
            include_loader=dict(source.files).__getitem__,  # type: ignore[arg-type]
        )
    except ValueError as error:
        raise ConfigurationError(f"templates/{body} does not compile: {error}") from None
    if found := FETCHES.search(html):
        raise ConfigurationError(
            f"templates/{body} compiles to {found.group()!r}, which would make a mail client fetch"
            " something; use text, colours and links only"
        )
    if found := re.search(r"<(mj-[\w-]+)", html):  # the compiler lets what it does not know stand
        raise ConfigurationError(f"templates/{body}: no MJML element {found.group(1)!r}; mend it")
    return html


def _environment(files: Mapping[str, str], *, escape: bool) -> jinja2.Environment:
    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, autoescape=escape, loader=jinja2.DictLoader(files)
    )
    # A template shows values: what is not there cannot hide an error or let markup through.
    for helpers in (environment.filters, environment.tests, environment.globals):
        helpers.clear()
    return environment
