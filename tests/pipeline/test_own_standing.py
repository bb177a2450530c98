"""What only our own store knows against writing to a candidate: opt-outs, suppressed addresses, and
letters of other days."""

from __future__ import annotations

from datetime import date, timedelta

from daily import Practice
from eligibility import EDUCATION, MEDICATION, MIDNIGHT
from reengage.pipeline.decide import calendar_period, recipient_pseudonym
from reengage.pipeline.extract import extract
from reengage.pipeline.run import Run
from sqlalchemy import text
from world import DAY, NOW


def test_our_own_opt_outs_and_suppressions_count_and_are_told_once(practice: Practice) -> None:
    for key in ("all", "here", "elsewhere", "bounced", "both"):
        practice.world.patient(key, appointment=None)
    practice.world.set("opt_out", patient_key="both", campaign=None, at=NOW)
    run = practice.open(dry=True)
    with run.store.begin() as store:
        for key, campaign in [
            ("all", None), ("here", EDUCATION), ("elsewhere", MEDICATION), ("both", None)
        ]:  # fmt: skip
            store.execute(
                text("INSERT INTO opt_out VALUES (:p, :c, 'desk')"),
                {"p": run.pseudonym(key), "c": campaign},
            )
        store.execute(
            text("INSERT INTO suppression VALUES (:r, 'bounced')"),
            {"r": recipient_pseudonym(run, "Bounced@Example.org")},
        )
    extract(run)
    assert practice.reasons(run) == {
        "all": ["opted_out"],
        "here": ["opted_out"],
        "elsewhere": [],
        "bounced": ["address_suppressed"],
        "both": ["opted_out"],
    }


EARLIER: list[tuple[str, int, str, bool, list[str]]] = [
    # state, days before, period, of a rehearsal, reasons; the cap is 30 days
    ("sent", 10, "this", False, ["already_written", "frequency_cap"]),
    ("sent", 40, "this", False, ["already_written"]),
    ("withheld", 10, "this", False, []),  # offered to nobody
    ("refused", 10, "other", False, []),
    ("withheld", 10, "other", False, []),
    ("sent", 29, "other", False, ["frequency_cap"]),
    ("sent", 30, "other", False, []),
    ("unknown", 29, "other", False, ["frequency_cap"]),
    ("attempted", 1, "other", False, ["frequency_cap"]),
    ("claimed", 1, "other", False, ["frequency_cap"]),
    # Taken over and sent by this very run: a second letter would break the cap.
    ("deferred", 1, "other", False, ["frequency_cap"]),
    ("rehearsed", 1, "this", True, []),
    ("sent", -3, "this", False, []),  # of a later day: a replay looks back only
]


def test_letters_of_earlier_days_count_by_period_and_by_cap(practice: Practice) -> None:
    run = practice.open(dry=True)
    names = {}
    for number, (state, days, period, rehearsal, _) in enumerate(EARLIER):
        practice.world.patient(key := f"case{number}", appointment=None)
        names[key] = EARLIER[number]
        own = calendar_period(run) if period == "this" else "2025-Q1"
        _letter(run, key, state, DAY - timedelta(days=days), own, rehearsal=rehearsal)
    extract(run)
    found = practice.reasons(run)
    assert {row: found[key] for key, row in names.items() for row in [row[:4]]} == {
        row[:4]: row[4] for row in EARLIER
    }


def _letter(
    run: Run, key: str, state: str, day: date, period: str, *, rehearsal: bool = False
) -> None:
    with run.store.begin() as store:
        store.execute(
            text(
                "INSERT INTO letter (campaign, patient, period, rehearsal, run_id, campaign_date,"
                " sender_run_id, chunk, state, message_id, sealed, template_sha256, expires_at,"
                " checked_at) VALUES (:campaign, :patient, :period, :rehearsal, :run, :day, :run,"
                " 0, :state, '<x@y>', '', '', :expires, now())"
            ),
            {
                "campaign": run.campaign.slug,
                "patient": run.pseudonym(key),
                "period": run.keyring.pseudonym("period", period),
                "rehearsal": run.run_id if rehearsal else None,
                "run": run.run_id,
                "day": day,
                "state": state,
                "expires": NOW + timedelta(days=2),
            },
        )


def test_a_letter_of_this_day_stands_whatever_the_warehouse_says_since(practice: Practice) -> None:
    """The day's numbers add up although the warehouse was loaded between two of its runs."""
    for key in ("stays", "revokes", "comes back"):
        practice.world.patient(key, contact={"email": f"{key[0]}@example.org"}, appointment=None)
    run = practice.open()
    for key in ("stays", "revokes", "comes back"):
        _letter(run, key, "sent", DAY, "this")
    practice.world.change("authorization", "revokes", revoked_at=NOW)
    practice.world.change("visit", "comes back", start_at=NOW)
    counts = extract(run)
    assert practice.reasons(run) == {"stays": [], "revokes": [], "comes back": []}
    assert (counts.candidates, counts.eligible, counts.parts) == (3, 3, 0)
    assert _notes(practice, run) == {
        "stays": [], "revokes": ["authorization_revoked_since"], "comes back": [],
    }  # fmt: skip


def test_who_refused_after_the_days_letter_is_noted_as_such(practice: Practice) -> None:
    """EML-26, PRV-06, PRV-22: and the day's numbers still add up."""
    keys = ("opts out", "revokes", "is restricted", "bounced", "left and opted out")
    for key in keys:
        practice.world.patient(
            key, contact={"email": f"{key.replace(' ', '-')}@example.org"}, appointment=None
        )
    run = practice.open()
    for key in keys:
        _letter(run, key, "sent", DAY, "this")
    practice.world.set("restriction", patient_key="is restricted", kind="x", since=NOW)
    practice.world.change("visit", "left and opted out", start_at=NOW)
    with run.store.begin() as store:
        for key in ("opts out", "left and opted out"):
            store.execute(
                text("INSERT INTO opt_out VALUES (:p, NULL, 'desk')"), {"p": run.pseudonym(key)}
            )
        store.execute(
            text(
                "INSERT INTO revocation (patient, purpose, revoked_at, channel, source)"
                " VALUES (:p, 'email', :at, 'desk', 'patient')"
            ),
            {"p": run.pseudonym("revokes"), "at": NOW},
        )
        store.execute(  # by the very letter, perhaps
            text("INSERT INTO suppression VALUES (:r, 'bounced')"),
            {"r": recipient_pseudonym(run, "bounced@example.org")},
        )
    counts = extract(run)
    assert _notes(practice, run) == {
        "opts out": ["opted_out_since"],
        "revokes": ["authorization_revoked_since"],
        "is restricted": ["restriction_since"],
        "bounced": [],
        "left and opted out": ["opted_out_since"],
    }
    assert set(map(tuple, practice.reasons(run).values())) == {()}
    assert (counts.candidates, counts.eligible) == (5, 5)


def _notes(practice: Practice, run: Run) -> dict[str, list[str]]:
    found = practice.rows("SELECT patient, notes FROM decision WHERE run_id = :r", r=run.run_id)
    with practice.world.engine.connect() as connection:
        keys = connection.execute(text("SELECT patient_key FROM contract.patient")).scalars()
        names = {run.pseudonym(key): key for key in keys}
    return {names[str(row["patient"])]: list(row["notes"]) for row in found}  # type: ignore[call-overload]


REFUSED: list[tuple[str, timedelta, bool]] = [
    # what, how long after the end of the day, and whether a replay of the day knows of it
    ("opt_out", timedelta(microseconds=-1), True),
    ("opt_out", timedelta(0), False),
    ("revocation", timedelta(microseconds=-1), True),
    ("revocation", timedelta(0), False),
    ("suppression", timedelta(microseconds=-1), True),
    ("suppression", timedelta(0), False),
]
ROWS = {
    "opt_out": "INSERT INTO opt_out (patient, channel, at) VALUES (:p, 'desk', :at)",
    "revocation": "INSERT INTO revocation (patient, purpose, revoked_at, channel, source)"
    " VALUES (:p, NULL, :at, 'desk', 'patient')",
    "suppression": "INSERT INTO suppression (recipient, reason, at) VALUES (:r, 'bounced', :at)",
}


def test_a_replay_of_a_past_day_knows_of_no_later_refusal(practice: Practice) -> None:
    """PRV-06, EML-26: and a live run, or a dry one of today, of all that is known."""
    run = practice.open(dry=True)
    with run.store.begin() as store:
        for number, (what, after, _) in enumerate(REFUSED):
            practice.world.patient(f"p{number}", appointment=None)
            pseudonyms = {
                "p": run.pseudonym(f"p{number}"),
                "r": recipient_pseudonym(run, f"p{number}@example.org"),
            }
            store.execute(text(ROWS[what]), {**pseudonyms, "at": MIDNIGHT + after})
    today = practice.open(dry=True)
    extract(today)
    assert all(practice.reasons(today).values())
    practice.settings = practice.at(NOW + timedelta(days=3)).settings
    replay = practice.open(day=DAY)
    assert replay.mode == "replay"
    extract(replay)
    found = practice.reasons(replay)
    assert [bool(found[f"p{number}"]) for number in range(len(REFUSED))] == [
        knows for _, _, knows in REFUSED
    ]
