"""docs/reference/: settings and commands, made from what the program itself goes by.

A setting's words are the docstrings in `settings.py`, a command's those of its argument parser, a
target's its comment in the Makefile: the page cannot say what the program does not. What is not
described is a ConfigurationError, so that `make lint` finds it.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

from reengage import settings
from reengage.errors import ConfigurationError

_OF_VENDORS = {"relays": "RELAY_URL_<VENDOR>", "webhook_secrets": "WEBHOOK_SECRET_<VENDOR>"}
"""Fields that gather one setting per vendor."""
_NEEDED = ("warehouse_url", "store_url", "keyring")
_WITHOUT = re.compile(r"; (?:None|absent) = (.+)\.$")
_TARGET = re.compile(r"^([a-z-]+):.*## (.+)$", re.MULTILINE)
_MADE = "Made by `make fix` from {}; `make lint` fails when it is out of date.\n"


def settings_markdown() -> str:
    """The page of settings. Raises ConfigurationError where one has no words, or no field."""
    words = _attribute_docstrings(settings.Settings)
    named = {name.lower(): name for name in settings.NAMES} | _OF_VENDORS
    fields = {field.name: field for field in dataclasses.fields(settings.Settings)}
    if strays := sorted(set(named) ^ set(fields)):
        raise ConfigurationError(
            f"settings {', '.join(strays)} are not both a name and a field; mend settings.py"
        )
    # The keyring asks for its service by itself, whoever opens it.
    portal = {field.name for field in dataclasses.fields(settings.PortalSettings)} | {"key_service"}
    lines = [
        "# Settings\n",
        _MADE.format("`plugins/reengage/settings.py`"),
        "Each setting is an environment variable of the Airflow workers and of whoever uses the"
        " command line. There is no second source, and none that weakens security. One that is"
        " missing, malformed or misspelt is refused by name before anything is read or sent."
        " `make run` and `make ui` set them for the embedded default, and commands without any of"
        " them speak to it. Secrets (**s**) appear in no log and no error.\n",
        "| variable | what it is | without it | portal reads it |",
        "|---|---|---|---|",
    ]
    for key, field in fields.items():
        text, without = _told(key, words.get(key))
        secret = "" if field.repr else " **s**"
        cells = (
            f"`{settings.PREFIX}{named[key]}`{secret}", text, without, "yes" * (key in portal),
        )  # fmt: skip
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def commands_markdown(home: Path, parser: argparse.ArgumentParser) -> str:
    """The page of commands: the Makefile's targets, then every command with its arguments."""
    targets = _TARGET.findall((home / "Makefile").read_text(encoding="utf-8"))
    if not targets:
        raise ConfigurationError("the Makefile describes no target (`name: ## words`); restore it")
    lines = [
        "# Commands\n",
        _MADE.format("the Makefile and `plugins/reengage/cli/main.py`"),
        _sentences(parser.description or "") + "\n",
        "## make\n",
        "| target | does |",
        "|---|---|",
        *(f"| `make {name}` | {words} |" for name, words in targets),
    ]
    for path, words, command in every_command(parser):
        mark = "##" if len(path) == 1 else "###"
        lines += [f"\n{mark} {' '.join(path)}\n", f"{words[:1].upper()}{words[1:]}."]
        rows = [row for action in command._actions if (row := _row(action))]
        if rows:
            lines += ["", "| argument | is |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


def every_command(
    parser: argparse.ArgumentParser, above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str, argparse.ArgumentParser]]:
    """Name, help and parser of every command, in the order of the help, without aliases."""
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        helps = {one.dest.partition(" ")[0]: one.help or "" for one in action._choices_actions}
        for name, command in action.choices.items():
            if name not in helps:
                continue  # an alias
            spelt = name.replace("_", "-") if _has_alias(action, name) else name
            if not helps[name]:
                raise ConfigurationError(f"command {' '.join((*above, spelt))} has no help; say it")
            yield (*above, spelt), helps[name], command
            yield from every_command(command, (*above, spelt))


def _has_alias(action: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> bool:
    return "_" in name and name.replace("_", "-") in action.choices


def _row(action: argparse.Action) -> str | None:
    is_command = isinstance(action, argparse._HelpAction | argparse._SubParsersAction)
    if is_command or action.help == argparse.SUPPRESS:
        return None
    shown = _shown(action)
    words = action.help or ""
    if action.choices and not set(map(str, action.choices)) <= set(re.split(r"\W+", words)):
        words = f"{words + ': ' if words else ''}{', '.join(map(str, action.choices))}"
    default = "" if action.default in (None, argparse.SUPPRESS) else str(action.default or "")
    if default and default not in words:
        words += f" ({default})"
    needed = " **needed**" if action.required and action.option_strings else ""
    if not words:
        raise ConfigurationError(f"argument {shown} of a command has no help; write it in main.py")
    return f"| {shown}{needed} | {words.strip().replace('|', chr(92) + '|')} |"


def _shown(action: argparse.Action) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else None
    name = metavar or action.dest.upper()
    if not action.option_strings:
        return f"`{name}`"
    value = "" if action.nargs == 0 else f" {name}"
    return ", ".join(f"`{option}{value}`" for option in action.option_strings)


def _told(key: str, docstring: str | None) -> tuple[str, str]:
    """A setting's words, and what holds without it."""
    text = " ".join((docstring or "").split())
    if key in _NEEDED and text:
        return text.rstrip("."), "nothing starts"
    found = _WITHOUT.search(text)
    if not found:
        raise ConfigurationError(
            f"setting {key} does not say in settings.py what it is and what holds without it; end"
            " its docstring with `; None = ….` or `; absent = ….`"
        )
    return text[: found.start()], found[1]


def _attribute_docstrings(kind: type) -> dict[str, str]:
    """Field -> the string that stands below it in the source; Python itself drops these."""
    body = ast.parse(dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)  # noqa: S101 - for the type checker
    found = {}
    for node, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if is_text and isinstance(after.value.value, str):  # type: ignore[attr-defined]
                found[node.target.id] = after.value.value  # type: ignore[attr-defined]
    return found


def _sentences(description: str) -> str:
    """A module's docstring without its first line, on one line."""
    return " ".join(description.partition("\n\n")[2].split())
