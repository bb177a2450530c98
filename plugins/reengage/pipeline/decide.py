"""Decide: one decision per candidate, with every reason against writing to them.

The warehouse's reasons come with the candidate; what only our own store knows (opt-outs, suppressed
addresses, letters of other days) is asked here, and whether the letter can be written and sealed at
all: one malformed address, field or certificate excludes its patient and stops nobody else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from reengage import staging
from reengage.errors import ConfigurationError, LetterError
from reengage.mail.fields import require_field
from reengage.pipeline.asking import asking, consent_purposes
from reengage.pipeline.decisions import Decided, keep
from reengage.pipeline.run import Run
from reengage.pipeline.ways import choose_way, means_of
from reengage.practice import is_address
from reengage.reasons import SINCE
from reengage.refusals import purpose_scope
from reengage.sealing.way import Means, NoWay
from reengage.sql import load_sql

_KNOWN = ("language", "time_zone", "certificate", "reads_authenticated")
"""Columns of which the statement says whether the patient's record has them."""


def decide(sink: Connection, run: Run, rows: list[staging.Row]) -> list[Decided]:
    """One decision per row, recorded."""
    prepared = [_prepared(run, row) for row in rows]
    known = _own_standing(sink, run, prepared)
    means = means_of(sink, run)
    decided = []
    for one in prepared:
        own, done = known[one.patient]
        against = one.reasons + own
        if not against:
            against = _unwritable(run, one.row) or _unsealable(run, means, one.row)
        decided.append(
            _standing(one, against) if done else replace(one, reasons=list(dict.fromkeys(against)))
        )
    keep(sink, run, decided)
    return decided


def _standing(one: Decided, against: list[str]) -> Decided:
    """The day's decision stands once its letter exists; who has refused since is noted as such.

    Whether the letter still goes is for the claim's last look.
    """
    since = [SINCE[code] for code in dict.fromkeys(against) if code in SINCE]
    return replace(one, reasons=[], notes=one.notes + since, done=True)


def keep_decided(sink: Connection, run: Run) -> int:
    """Decide again for those who have a letter of this day and are no candidates any more.

    Where the warehouse was loaded between two runs of a day, the letters of the first would
    otherwise be nobody's, and the day's numbers would not add up. Of these only what we were told
    ourselves is noted as a refusal since.
    """
    if run.mode != "live":
        return 0
    return sink.execute(
        text(load_sql(run.settings.home, "outbox/keep_decided.sql")),
        {
            "run_id": run.run_id,
            "campaign": run.campaign.slug,
            "day": run.day,
            "consent_purposes": consent_purposes(run.campaign),
            "purpose_scope": purpose_scope(run.campaign.purpose),
        },
    ).rowcount


def recipient_pseudonym(run: Run, address: str | None) -> str:
    """What an address is called in the suppression list: keyed, case-folded."""
    return run.keyring.pseudonym("recipient", (address or "").casefold())


@lru_cache(maxsize=1024)
def is_zone(name: str) -> bool:
    """Whether there is a time zone of this name."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # no such zone; no name of one; a directory of zones
        return False
    return True


def _prepared(run: Run, found: staging.Row) -> Decided:
    """What the warehouse says of a candidate, and the row as it is staged."""
    row = dict(found)
    reasons = list(row.pop("reasons"))
    evidence = row.pop("evidence")
    notes = ["authorization_duplicate"] if row.pop("authorization_duplicate") else []
    known = {name: evidence.pop(f"{name}_known") for name in _KNOWN}
    if not reasons:
        _require_whole(run, row, known)
    campaign = run.campaign
    patient = run.pseudonym(row["patient_key"])
    if row["language"] not in campaign.languages:
        row["language"] = campaign.languages[0]
    if not is_zone(row["time_zone"] or ""):
        notes += ["time_zone_unknown"] if row["time_zone"] else []
        row["time_zone"] = run.practice.time_zone
    row["period_key"] = run.keyring.pseudonym("period", row["period_key"] or calendar_period(run))
    latest = _valid_until(run)
    row["expires_at"] = min(row["expires_at"] or latest, latest)
    return Decided(row, patient, reasons, notes, evidence)


def _require_whole(run: Run, row: staging.Row, known: Mapping[str, bool]) -> None:
    """Refuse a row that lost what a default would replace unseen, for everybody.

    `known` says of what the patient's record has; the period and its end are the audience's to give
    where a letter is about an appointment, the period also where it is about a refill.
    """
    due = [*(["period_key"] if run.campaign.period in ("appointment", "refill") else []),
           *(["expires_at"] if run.campaign.period == "appointment" else []),
           *(name for name, is_known in known.items() if is_known)]  # fmt: skip
    for name in due:
        if row[name] is None:
            raise ConfigurationError(
                f"the extraction gives no {name} for a candidate who has one; restore"
                f" sql/extract/parts/, and look at sql/extract/{run.campaign.audience}"
            )


def _unwritable(run: Run, row: staging.Row) -> list[str]:
    """Why no letter can be made of the row, as gate and composer would refuse it, too."""
    if row["recipient"] is None:
        # Nothing stood against them, so there was one: the statement lost it, for everybody.
        raise ConfigurationError(
            "the extraction gives no address for a candidate with nothing against them; restore"
            " sql/extract/parts/"
        )
    if not is_address(row["recipient"]):
        return ["address_malformed"]
    try:
        for rule in run.campaign.fields.values():
            require_field(row[rule.from_], rule.as_, row["language"], row["time_zone"])
    except LetterError:
        return ["field_unusable"]
    return []


def _unsealable(run: Run, means: Means, row: staging.Row) -> list[str]:
    """Why no letter to this recipient can be sealed, as the composer would find, too."""
    way = choose_way(
        run,
        means,
        run.smime_trust,
        address=row["recipient"],
        certificate=row["certificate"],
        reads_authenticated=row["reads_authenticated"],
    ).way
    return [way.reason] if isinstance(way, NoWay) else []


def _own_standing(
    sink: Connection, run: Run, prepared: list[Decided]
) -> dict[str, tuple[list[str], bool]]:
    live = run.mode == "live"
    found = sink.execute(
        text(load_sql(run.settings.home, "outbox/standing.sql")),
        {
            "patients": [one.patient for one in prepared],
            "periods": [one.row["period_key"] for one in prepared],
            "recipients": [recipient_pseudonym(run, one.row["recipient"]) for one in prepared],
            "consents": [_consents(one) for one in prepared],
            "campaign": run.campaign.slug,
            "verified": [_verified(one) for one in prepared],
            "purpose": run.campaign.purpose,
            "now": run.settings.now(),
            "day": run.day,
            "purpose_scope": purpose_scope(run.campaign.purpose),
            "live": live,
            "known_until": asking(run)["ends"] if run.day < run.today() and not live else None,
            "cap_days": run.campaign.caps.days_between_letters,
            "any_cap_days": run.campaign.caps.days_after_any_letter,
        },
    )
    return {one.patient: (list(one.reasons), one.done and live) for one in found}


def _consents(one: Decided) -> str:
    """Purpose to the signing of the form that counts, also of who is excluded, as JSON."""
    return json.dumps({form["purpose"]: form["signed_at"] for form in one.evidence["forms"]})


def _verified(one: Decided) -> str | None:
    """When the patient's address was confirmed; a representative's is never free by itself."""
    verified: str | None = None if one.evidence["minor"] else one.evidence["verified_at"]
    return verified


def calendar_period(run: Run) -> str:
    """The calendar span that the campaign writes once in, e.g. `2026-Q4`."""
    day = run.day
    return {
        "month": f"{day:%Y-%m}",
        "quarter": f"{day.year}-Q{(day.month + 2) // 3}",
        "year": f"{day.year}",
    }.get(run.campaign.period, f"{day:%Y-%m-%d}")


def _valid_until(run: Run) -> datetime:
    end = run.day + timedelta(days=run.campaign.letter_valid_days)
    return datetime.combine(end, time(), ZoneInfo(run.campaign.time_zone))
