"""How often the portal is asked, and by whom it believes to be asked (EML-27, PRV-35)."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from patients import RIGHT, WRONG, Portal, Waiting, unknown_id
from reengage.errors import ConfigurationError
from reengage.portal import pace
from reengage.portal.server import Address

pytestmark = pytest.mark.long

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
FORM = {"stop": "chosen", "stop_campaigns": "health_education"}


def preferences(portal: Portal, one: Waiting) -> int:
    [row] = portal.rows("SELECT count(*) AS n FROM preference WHERE patient = :p", p=one.patient)
    return int(row["n"])


def test_a_link_says_so_many_things_a_day_and_then_no_more(portal: Portal) -> None:
    """Each is a line that is kept for ever; from any address of the network."""
    one = portal.next()
    codes = []
    for number in range(pace.WISHES_A_DAY + 2):
        with portal.client() as client:
            form = {"stop": "chosen", "language": ("en", "es")[number % 2]}
            answered = client.post(one.opt_out, data=form)
            codes.append(answered.status_code)
    assert codes == [*[200] * pace.WISHES_A_DAY, 429, 429]
    assert answered.headers["retry-after"] == str(pace.DAY)
    assert "Please wait" in answered.text
    assert preferences(portal, one) == pace.WISHES_A_DAY


def test_a_session_says_so_many_things_a_day_too(portal: Portal) -> None:
    one = portal.next()
    session = portal.session(one)
    codes = [
        portal.say(one, session, language=("en", "es")[number % 2]).json().get("problem")
        for number in range(pace.WISHES_A_DAY + 1)
    ]
    assert codes == [*[None] * pace.WISHES_A_DAY, "enough"]
    assert preferences(portal, one) == pace.WISHES_A_DAY


@pytest.mark.parametrize(
    "form",
    [ONE_CLICK, {"stop": "this"}, {"stop": "chosen", "restrict": "1", "language": "es"}],
    ids=["one click", "a form", "a restriction among other wishes"],
)
def test_whoever_used_the_day_up_keeps_no_patient_from_stopping(
    portal: Portal, form: dict[str, str]
) -> None:
    """EML-26: an opt-out is never too many, whoever has the link."""
    one = portal.next()
    for number in range(pace.WISHES_A_DAY):
        with portal.client() as client:
            client.post(one.opt_out, data={"stop": "chosen", "language": ("en", "es")[number % 2]})
    with portal.client() as client:
        answered = client.post(one.opt_out, data=form)
    assert answered.status_code == (429 if "language" in form else 200)
    table = "restriction" if "restrict" in form else "opt_out"
    assert len(portal.rows(f"SELECT 1 FROM {table} WHERE patient = :p", p=one.patient)) == 1
    assert preferences(portal, one) == pace.WISHES_A_DAY


def test_a_session_stops_letters_also_when_it_said_too_much(portal: Portal) -> None:
    one = portal.next()
    session = portal.session(one)
    for number in range(pace.WISHES_A_DAY):
        portal.say(one, session, language=("en", "es")[number % 2])
    assert portal.say(one, session, stop_all=True, language="es").json()["problem"] == "enough"
    assert len(portal.rows("SELECT 1 FROM opt_out WHERE patient = :p", p=one.patient)) == 1


@pytest.mark.parametrize("path", ["/opt-out/" + "a" * 32, "/confirm/" + "a" * 32])
def test_forms_of_one_address_of_the_network_are_counted_with_all_it_asks(
    portal: Portal, path: str
) -> None:
    with portal.client() as client:
        codes = [client.post(path, data=FORM).status_code for _ in range(pace.MOST + 1)]
        assert codes == [*[404] * pace.MOST, 429]
        assert client.post(f"/api/letters/{unknown_id()}/report").status_code == 429


def test_a_providers_servers_click_for_all_its_readers(portal: Portal) -> None:
    """One click is not counted by the address that it comes from."""
    one = portal.next()
    with portal.client() as client:
        for _ in range(pace.MOST + 1):
            client.post("/opt-out/" + "a" * 32, data=FORM)
        assert client.post(one.opt_out, data=FORM).status_code == 429
        assert client.post(one.opt_out, data=ONE_CLICK).status_code == 200


def test_a_visitor_is_a_pseudonym_that_is_another_each_day_and_gone_after_two(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PRV-35: a token and a time, no more."""
    with portal.client() as client:
        peer = client.headers["x-forwarded-for"]
        client.post(f"/api/letters/{unknown_id()}/report")
    rows = portal.rows("SELECT address FROM portal_pace ORDER BY began DESC")
    assert all(re.fullmatch("[0-9a-f]{32}", row["address"]) for row in rows)
    keyring = portal.run.keyring
    days = [keyring.pseudonym(f"peer/2025-06-0{day}", peer) for day in (1, 2)]
    assert days[0] != days[1]
    assert peer not in repr(portal.rows("SELECT * FROM portal_pace"))
    portal.execute("UPDATE portal_pace SET began = began - INTERVAL '25 hours'")
    portal.tend()
    assert portal.rows("SELECT * FROM portal_pace") == []


def test_a_flood_at_one_letter_is_one_answer_that_is_looked_at(portal: Portal) -> None:
    one = portal.next()
    with ThreadPoolExecutor(24) as pool:
        asked = [pool.submit(portal.answer, one.message_id, WRONG) for _ in range(48)]
        found = [each.result() for each in asked]
    codes = sorted(each.status_code for each in found)
    assert codes == [403, *[429] * 47]
    [row] = portal.rows("SELECT wrong FROM portal_guess WHERE message_id = :m", m=one.message_id)
    assert row["wrong"] == 1


def test_a_flood_from_one_address_is_stopped_before_anything_is_looked_at(portal: Portal) -> None:
    ids = [unknown_id() for _ in range(pace.MOST + 20)]
    with portal.client() as client, ThreadPoolExecutor(8) as pool:
        asked = pool.map(lambda i: client.post(f"/api/letters/{i}/sessions", json=WRONG), ids)
        codes = [each.status_code for each in asked]
    assert (codes.count(403), codes.count(429)) == (pace.MOST, 20)
    counted = portal.rows(
        "SELECT 1 FROM portal_guess WHERE message_id = ANY(:ids)", ids=ids
    )  # of the others nothing is kept
    assert len(counted) == pace.MOST


@pytest.mark.parametrize("proxy", ["*", "0.0.0.0/0", "10.0.0.0/7", "::/0", "2000::/3", "proxy", "",
                                   "10.0.0.5/8"])  # fmt: skip
def test_nobody_is_believed_but_a_proxy_that_is_named(proxy: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--behind-proxy .*expected the address"):
        Address("127.0.0.1", 8080, proxies=(proxy,))
    Address("127.0.0.1", 8080, proxies=("192.0.2.1", "10.0.0.0/8", "2001:db8::/32"))


def test_the_right_answer_counts_also_for_who_was_wrong_before(portal: Portal) -> None:
    one = portal.next()
    portal.answer(one.message_id, WRONG)
    portal.without_waiting(one.message_id)
    assert portal.answer(one.message_id, RIGHT).status_code == 201
