"""Which requests are log-ins, and whom they name, however it is written."""

from __future__ import annotations

import pytest
from reengage.log_in.names import account_name, accounts_of, is_door


@pytest.mark.parametrize(
    "path",
    ["/auth/login/", "/auth/login", "/auth/token", "/auth/token/cli", "/auth/token\n",
     "/airflow/auth/token", "/auth//login/", "/auth/api/v1/security/login"],
)  # fmt: skip
def test_a_door_is_known_by_whatever_path_leads_to_it(path: str) -> None:
    assert is_door("POST", path)
    assert not is_door("GET", path)


@pytest.mark.parametrize("path", ["/auth/logout", "/auth/users/list/", "/api/v2/dags", "/"])
def test_what_takes_no_password_is_left_alone(path: str) -> None:
    assert not is_door("POST", path)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b'{"username": "Admin", "password": "x"}', {"admin"}),
        (b"username=%61dmin&password=x", {"admin"}),
        (b"username=admin&username=analyst", {"admin", "analyst"}),
        (b'{"username": "a", "x": "&username=b&"}', {"a", "b"}),
        ('{"username": "admin"}'.encode("utf-16"), {"admin"}),
        (b"password=x", {""}),
        (b'["username"]', {""}),
        (b"[" * 9000, {""}),
        (b"\xff\xfe", {""}),
        (b"", {""}),
    ],
)
def test_a_body_names_whom_either_reader_would_find_in_it(body: bytes, names: set[str]) -> None:
    assert accounts_of(body) == names


@pytest.mark.parametrize(
    "said", ["admin", "ADMIN", " admin ", "ad\u00admin", "\uff41dmin", "ad min", "admin\n"]
)
def test_an_account_is_the_same_however_a_directory_lets_it_be_written(said: str) -> None:
    assert account_name(said) == "admin"


def test_two_accounts_are_not_taken_for_one() -> None:
    names = ["ann.lee", "ann-lee", "annlee", "ann_lee", "ann@lee", "ånn"]
    assert len({account_name(one) for one in names}) == len(names)
