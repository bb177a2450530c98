"""Strict YAML: every fault is a FileError naming file, line and fix; no other error gets out."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field
from reengage import yamlfile
from reengage.errors import ConfigurationError
from reengage.yamlfile import FileError, load_yaml, load_yaml_model


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int = Field(description="how large it is")
    kind: str = Field("plain", alias="as", description="what it is")


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: str = Field(description="its name for people")
    since: date | None = None
    inner: Inner | None = None
    named: dict[str, Inner] = {}
    listed: tuple[Inner, ...] = ()
    flag: bool = False


def loaded(tmp_path: Path, content: str | bytes) -> Model:
    path = tmp_path / "x.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_yaml_model(path, Model)


def told(tmp_path: Path, content: str | bytes) -> str:
    with pytest.raises(FileError) as error:
        loaded(tmp_path, content)
    assert error.value.__cause__ is None
    assert str(error.value) == "\n".join(str(problem) for problem in error.value.problems)
    return str(error.value)


def test_a_sound_file_becomes_its_value(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        'title: "no"\nsince: 2024-02-29\nnamed: {a: {size: 1, as: big}}\n'
        "listed: [{size: 2}]\nflag: true\n",
    )
    assert found == Model(
        title="no",
        since=date(2024, 2, 29),
        named={"a": Inner(size=1, **{"as": "big"})},
        listed=(Inner(size=2),),
        flag=True,
    )


def test_a_byte_order_mark_is_forgiven(tmp_path: Path) -> None:
    assert loaded(tmp_path, "title: Añil".encode("utf-8-sig")).title == "Añil"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("title: a\ntitel: b\n", "x.yaml:2: unknown key 'titel', did you mean 'title'?"),
        ("title: a\nqqq: b\n", "x.yaml:2: unknown key 'qqq'; remove it"),
        ("\nflag: true\n", "x.yaml:2: key 'title' is missing: its name for people"),
        ("title: a\ninner:\n  as: b\n", "x.yaml:2: key 'size' is missing: how large it is"),
        (
            "title: a\nnamed:\n  b:\n    size: 1\n    ass: c\n",
            "x.yaml:5: unknown key 'ass', did you mean 'as'?",
        ),
        (
            "title: a\nlisted:\n  - size: 1\n  - sizes: 1\n    size: 2\n",
            "x.yaml:4: unknown key 'sizes', did you mean 'size'?",
        ),
        ("title: a\nflag: true\ntitle: b\n", "x.yaml:3: key 'title' is given twice; keep one"),
        (
            "title: a\ninner: {size: 1, size: 2}\n",
            "x.yaml:2: key 'size' is given twice; keep one",
        ),
        ("title: [a]\n", "x.yaml:1: title: input should be a valid string"),
        ("title: 1\n", "x.yaml:1: title: input should be a valid string"),
    ],
)
def test_a_wrong_key_or_value_is_told_with_its_line_and_fix(
    tmp_path: Path, content: str, problem: str
) -> None:
    assert told(tmp_path, content) == problem


@pytest.mark.parametrize(
    ("scalar", "fault"),
    [
        ("20:00", "20:00 is a number in base 60 to YAML, or nearly one; quote it"),
        ("08:00", "08:00 is a number in base 60 to YAML, or nearly one; quote it"),
        ("1:30:00", "1:30:00 is a number in base 60 to YAML, or nearly one; quote it"),
        ("no", "no is true or false to YAML; write that, or quote it"),
        ("Off", "Off is true or false to YAML; write that, or quote it"),
        ("NO", "NO is true or false to YAML; write that, or quote it"),
        ("0300", "0300 is an octal number to YAML; quote it, or drop the zero"),
        ("00501", "00501 is an octal number to YAML; quote it, or drop the zero"),
        ("2023-02-30", "2023-02-30 is no date or number; mend it"),
        ("!foo x", "the tag '!foo' is not taken; write the plain value"),
        ("!!python/name:os.system x", "the tag 'tag:yaml.org,2002:python/name:os.system' is not"),
    ],
)
@pytest.mark.parametrize(
    "form", ["title: {}", "title: a\nlisted: [{}]", "named: {{a: {{size: {}}}}}"]
)
def test_a_trap_of_yaml_is_refused_wherever_it_stands(
    tmp_path: Path, scalar: str, fault: str, form: str
) -> None:
    assert f"x.yaml:{form.count(chr(10)) + 1}: {fault}" in told(tmp_path, form.format(scalar))


@pytest.mark.parametrize("scalar", ["20:00", "no", "0300", "2023-02-30", "*a", "true", "1"])
def test_what_is_quoted_is_text(tmp_path: Path, scalar: str) -> None:
    assert loaded(tmp_path, f'title: "{scalar}"').title == scalar
    assert loaded(tmp_path, f"title: '{scalar}'").title == scalar


@pytest.mark.parametrize("scalar", ["0", "12:30 o'clock", "none of it", "10.5.2024", "0.5 litres"])
def test_what_only_looks_like_a_trap_is_left_alone(tmp_path: Path, scalar: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"title: {scalar}", encoding="utf-8")
    assert str(load_yaml(path).content["title"]) == scalar


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "x.yaml:1: empty, or not a mapping; write `key: value` lines"),
        (b"# only a comment\n", "x.yaml:1: empty, or not a mapping"),
        (b"- a\n", "x.yaml:1: empty, or not a mapping"),
        (b"title", "x.yaml:1: empty, or not a mapping"),
        (b"title: a\nflag: [\n", "x.yaml:3: not YAML: "),
        (b"title: a\n\tflag: true\n", "x.yaml:2: not YAML: "),
        (b"title: a: b\n", "x.yaml:1: not YAML: mapping values are not allowed here"),
        (b"title: 'a\n", "x.yaml:2: not YAML: "),
        (b"title: a\n---\ntitle: b\n", "x.yaml:2: not YAML: but found another document"),
        (b"title: &a b\nflag: *a\n", "x.yaml:2: not YAML: an alias (*); write the value out"),
        (b"title: &a [*a]\n", "x.yaml:1: not YAML: an alias (*)"),
        (b"title: *b\n", "x.yaml:1: not YAML: an alias (*)"),
        (b"<<: {title: a}\ntitle: b\n", "x.yaml:1: key '<<' is not a plain word"),
        (b"title: a\n1: b\n", "x.yaml:2: key '1' is not a plain word; write a name, or quote it"),
        (b"title: a\nno: b\n", "x.yaml:2: key 'no' is not a plain word"),
        (b"title: a\n? [b]\n: c\n", "x.yaml:2: key a list or mapping is not a plain word"),
        (b"title: a\n# caf\xe9\n", "x.yaml:2: not UTF-8; save the file as UTF-8"),
        ("title: a\n".encode("utf-16"), "x.yaml:1: not UTF-8"),
        (b"title: a\nflag: \x07\n", "x.yaml:2: holds the control character U+0007; remove it"),
        (b"title: a\x00\n", "x.yaml:1: holds the control character U+0000; remove it"),
        (b"title: " + b"[" * 1500, "x.yaml:1: nested too deeply; write it flat"),
        (b"title: " + b"[" * 9000 + b"]" * 9000, "x.yaml:1: nested too deeply; write it flat"),
        (b"title: a\nflag:\ttrue\n", "x.yaml:2: not YAML: found character '\\t'"),
        (b"title: a\nflag: |#\n  b\n", "x.yaml:2: not YAML: expected chomping or indentation"),
        (b"title: !!bool\n", "x.yaml:1: the tag 'tag:yaml.org,2002:bool' does not fit the value"),
        (b"title: !!int\n", "x.yaml:1: the tag 'tag:yaml.org,2002:int' does not fit the value"),
        (b"title: !!float\n", "x.yaml:1: the tag 'tag:yaml.org,2002:float' does not fit the value"),
        (b"since: !!timestamp soon\n", "x.yaml:1: the tag 'tag:yaml.org,2002:timestamp' does not"),
        (b"? !!str [a]\n: b\n", "x.yaml:1: key a list or mapping is not a plain word"),
        (b"title: " + b"9" * 5000, "is no date or number; mend it"),
    ],
)
def test_what_is_no_mapping_in_yaml_is_told_with_its_line(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    assert problem in told(tmp_path, content)


def test_libyaml_reads_what_is_sound(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(yamlfile, "_Loader", None)
    (tmp_path / "x.yaml").write_text("title: a\nnamed: {b: {size: 1}}\n", encoding="utf-8")
    assert load_yaml(tmp_path / "x.yaml").content["title"] == "a"


PIECES = (
    "a", "b: ", "- ", "? ", "&a ", "*a", "<<: ", "!", "!!str ", "!!int ", "!<x> ", "|", ">", "#",
    "'", '"', "[", "]", "{", "}", ",", ":", "\n", "\n  ", " ", "\t", "---\n", "...", "%YAML 1.1\n",
    "20:00", "no", "0300", "2023-02-30", "\ufeff", "\x85", "\u2028", "\\", "~", "=", "1e3", "é",
)  # fmt: skip


@given(content=st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
@settings(max_examples=300, suppress_health_check=list(HealthCheck))
def test_a_file_means_the_same_whichever_parser_reads_it(content: str) -> None:
    def read() -> object:
        try:
            file = yamlfile._parsed(content, "x.yaml")
        except FileError as error:
            return str(error)
        return repr((file.content, file.lines))

    by_libyaml = read()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yamlfile, "_composed", lambda text: yaml.compose(text, yamlfile._Loader))
        assert read() == by_libyaml


def test_every_problem_of_a_file_is_told_at_once_in_the_order_of_its_lines(tmp_path: Path) -> None:
    content = "named: {a: {size: x}}\ntitel: b\ninner: {}\nflag: maybe\n"
    lines = told(tmp_path, content).splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        f"x.yaml:{number}" for number in (1, 1, 2, 3, 4)
    ]


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"y\.yaml:1: the file is missing; create it or mend"):
        load_yaml(tmp_path / "y.yaml")
    with pytest.raises(FileError, match=r"shown:1: the file cannot be read \(Is a directory\)"):
        load_yaml(tmp_path, shown_as="shown")


@pytest.mark.long
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=60), st.text("title:\n -[]{}&*!?|>'\"#%@0:<\t\\", max_size=60)))
def test_whatever_the_octets_no_other_error_gets_out(tmp_path: Path, content: str | bytes) -> None:
    with suppress(ConfigurationError):
        loaded(tmp_path, content)
