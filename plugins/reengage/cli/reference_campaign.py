"""docs/reference/campaign-file.md: every key of a campaign's file, from the model that reads it.

What a key may be is told by its JSON Schema, which editors go by, too; what it means, by the
model's own words.
"""

from __future__ import annotations

from typing import Any

from reengage.campaigns import ALLOWED_COLUMNS, Campaign

_HEAD = """# Campaign file

Made by `make fix` from `plugins/reengage/campaigns.py`; `make lint` fails when it is out of date. \
[How to write a campaign](../campaigns.md). Whatever is not listed here is refused, with file, \
line and what was probably meant.

| key | what it is | may be | without it |
|---|---|---|---|
"""
_FIELDS = """
## What a field may be read from

By `period`: a letter about an appointment can name nothing of a prescription, and none can name a \
diagnosis.

| period | `from` |
|---|---|
"""
_BOUNDS = (
    ("exclusiveMinimum", "more than {}"), ("minimum", "from {}"),
    ("exclusiveMaximum", "less than {}"), ("maximum", "up to {}"),
    ("minLength", "at least {} characters"), ("maxLength", "at most {} characters"),
    ("minItems", "at least {}"), ("maxProperties", "at most {}"),
    ("pattern", "`{}`"),
)  # fmt: skip


def campaign_markdown() -> str:
    """The page."""
    schema = Campaign.model_json_schema(by_alias=True)
    rows = [f"| {' | '.join(row)} |\n" for row in _rows(schema, schema["$defs"], "")]
    columns = [
        f"| `{period}` | {', '.join(f'`{column}`' for column in sorted(allowed))} |\n"
        for period, allowed in ALLOWED_COLUMNS.items()
    ]
    return "".join((_HEAD, *rows, _FIELDS, *columns))


def _rows(schema: dict[str, Any], parts: dict[str, Any], above: str) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, key in schema["properties"].items():
        kinds = [_resolved(one, parts) for one in key.get("anyOf", [key])]
        without = "**needed**" if name in schema.get("required", ()) else _default(key)
        what = str(key.get("description") or kinds[0]["description"])
        spelt = f"{above}{name}"
        told = list(dict.fromkeys(_kind(kind) for kind in kinds))
        may_be = " or ".join(told).replace("|", "\\|")
        rows.append((f"`{spelt}`", what.replace("|", "\\|"), may_be, without))
        for kind in kinds:
            if "properties" in kind:
                rows += _rows(kind, parts, f"{spelt}.")
            for value in kind.get("patternProperties", {}).values():
                if "$ref" in value:
                    rows += _rows(_resolved(value, parts), parts, f"{spelt}.<name>.")
    return rows


def _resolved(key: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    """The key with what it refers to; its own words win."""
    if "$ref" not in key:
        return key
    meant: dict[str, Any] = parts[key["$ref"].rpartition("/")[2]]
    return meant | {name: value for name, value in key.items() if name != "$ref"}


def _kind(key: dict[str, Any]) -> str:
    if "enum" in key:
        return ", ".join(f"`{value}`" for value in key["enum"])
    if "const" in key:
        return f"`{key['const']}`"
    if key.get("type") == "null":
        return "`null`"
    if key.get("type") == "array":
        return f"list of {_kind(key.get('items', {}))}{_bounds(key)}"
    if key.get("type") == "object":
        return "keys below" if "properties" in key else f"names, with values each{_bounds(key)}"
    words = {"integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
    return words.get(str(key.get("type")), "text") + _bounds(key)


def _bounds(key: dict[str, Any]) -> str:
    told = [words.format(key[bound]) for bound, words in _BOUNDS if bound in key]
    return f", {', '.join(told)}" if told else ""


def _default(key: dict[str, Any]) -> str:
    default = key.get("default")
    if isinstance(default, dict):
        return "as its own keys say"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return "`null`" if default is None else f"`{default}`"
