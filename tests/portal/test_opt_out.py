"""EML-07, EML-26, EML-27, EML-29: leaving by the link of a letter, with one click or one press."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from patients import CAMPAIGN, Portal, Waiting
from reengage.opt_outs import opt_out_by_token
from reengage.refusals import Refusal
from world import NOW

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def stopped(portal: Portal, one: Waiting) -> list[tuple[Any, Any]]:
    rows = portal.rows(
        "SELECT campaign, channel FROM opt_out WHERE patient = :p ORDER BY 1", p=one.patient
    )
    return [(row["campaign"], row["channel"]) for row in rows]


@pytest.mark.parametrize("encoding", ["urlencoded", "multipart"])
def test_one_click_stops_the_campaign_in_store_journal_and_ledger(
    portal: Portal, encoding: str
) -> None:
    one = portal.next()
    with portal.client() as client:
        if encoding == "urlencoded":
            answered = client.post(one.opt_out, data=ONE_CLICK)
        else:
            answered = client.post(one.opt_out, files={"List-Unsubscribe": (None, "One-Click")})
    assert answered.status_code == 200
    assert "set-cookie" not in answered.headers
    assert "location" not in answered.headers
    assert stopped(portal, one) == [(CAMPAIGN, "one_click")]
    lines = portal.practice.settings.journal_path.read_bytes().splitlines()
    told = [Refusal.from_line(line) for line in lines]
    assert [(x.kind, x.scope) for x in told if x.patient == one.patient] == [("opt_out", CAMPAIGN)]
    [record] = portal.ledger("opt_out", one.patient)
    assert record["detail"]["channel"] == "one_click"


def test_a_second_click_is_as_good_and_recorded_once(portal: Portal) -> None:
    one = portal.next()
    with portal.client() as client:
        for _ in range(3):
            assert client.post(one.opt_out, data=ONE_CLICK).status_code == 200
    assert stopped(portal, one) == [(CAMPAIGN, "one_click")]
    assert len(portal.ledger("opt_out", one.patient)) == 1


def test_a_get_changes_nothing_and_is_the_same_for_any_token(portal: Portal) -> None:
    one = portal.next()
    with portal.client() as client:
        shown = client.get(one.opt_out)
        assert shown.content == client.get("/opt-out/" + "a" * 32).content
        assert shown.content == client.get("/opt-out/nonsense").content
    assert shown.status_code == 200
    assert "<form" in shown.text
    assert stopped(portal, one) == []


@pytest.mark.parametrize(
    ("form", "scopes"),
    [
        ({"stop": "this"}, [CAMPAIGN]),
        ({"stop": "all"}, [None]),
        ({"stop": "this", **ONE_CLICK}, [CAMPAIGN]),
        ({"stop": "chosen", "stop_campaigns": "health_education"}, ["health_education"]),
        ({"stop": "chosen", "stop_purposes": ["education", "marketing"]},
         ["purpose:education", "purpose:marketing"]),
    ],
)  # fmt: skip
def test_the_page_stops_what_was_chosen(
    portal: Portal, form: dict[str, Any], scopes: list[str | None]
) -> None:
    one = portal.next()
    with portal.client() as client:
        answered = client.post(one.opt_out, data=form)
    assert answered.status_code == 200
    assert stopped(portal, one) == [(scope, "portal") for scope in scopes]


@pytest.mark.parametrize(
    "form",
    [
        {}, {"List-Unsubscribe": "Two-Clicks"}, {"stop": "nothing"}, {"stop": "chosen"},
        {"stop": "chosen", "stop_campaigns": "no_such"}, {"stop": "chosen", "language": "xx"},
        {"stop": "chosen", "revoke": "everything"},
    ],
)  # fmt: skip
def test_a_post_that_asks_for_nothing_changes_nothing(portal: Portal, form: dict[str, str]) -> None:
    one = portal.letters[0]
    with portal.client() as client:
        assert client.post(one.opt_out, data=form).status_code == 400


def test_a_forged_or_expired_token_stops_nothing(portal: Portal) -> None:
    one = portal.next()
    before = portal.rows("SELECT count(*) AS n FROM opt_out")
    portal.execute(
        "UPDATE opt_out_link SET valid_until = :at WHERE patient = :p",
        at=NOW - timedelta(seconds=1), p=one.patient,
    )  # fmt: skip
    changed = one.opt_out[:-1] + ("a" if one.opt_out[-1] != "a" else "b")
    with portal.client() as client:
        for path in (one.opt_out, changed, "/opt-out/x", "/opt-out/" + "a" * 32):
            assert client.post(path, data=ONE_CLICK).status_code == 404
    assert portal.rows("SELECT count(*) AS n FROM opt_out") == before


def test_a_link_is_good_for_six_years(portal: Portal) -> None:
    [row] = portal.rows("SELECT min(valid_until) AS until FROM opt_out_link WHERE patient = :p",
                        p=portal.letters[-1].patient)  # fmt: skip
    assert row["until"] >= NOW.replace(year=NOW.year + 6)


def test_a_mailed_token_does_the_same(portal: Portal) -> None:
    one = portal.next()
    token = one.opt_out.rpartition("/")[2]
    run = portal.run
    with run.store.begin() as connection:
        told = (connection, run.keyring, portal.practice.settings.journal_path)
        assert opt_out_by_token(*told, token, channel="mailto", now=NOW)
        assert not opt_out_by_token(*told, "a" * 32, channel="mailto", now=NOW)
    assert stopped(portal, one) == [(CAMPAIGN, "mailto")]


def test_the_database_alone_knows_no_link(portal: Portal) -> None:
    tokens = [one.opt_out.rpartition("/")[2] for one in portal.letters]
    dump = repr(portal.rows("SELECT * FROM opt_out_link"))
    assert [token for token in tokens if token in dump] == []
