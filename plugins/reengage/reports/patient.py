"""The accounting of disclosures for one patient: asked by a form, never by an address (PRV-25).

The patient's key travels in the body of a POST, the answer is kept by nobody: no cache, no history
entry that holds it. Who asked is in the ledger before the answer is made, by pseudonym.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from fastapi import Response
from fastapi.responses import HTMLResponse

from reengage import warehouse
from reengage.disclosing import Told, tell
from reengage.ledger.accounting import YEARS, Line, as_csv
from reengage.ledger.checkpoints import Checkpoints
from reengage.practice import load_practice
from reengage.reports.asked import Asked
from reengage.reports.problems import BadQueryError
from reengage.reports.render import page
from reengage.reports.tables import Table, table
from reengage.reports.visit import Visit

_LONGEST_KEY = 200
_FORMS = ("page", "csv", "pdf")


def disclosures(visit: Visit) -> HTMLResponse:
    """The form."""
    visit.record()
    today = datetime.now(UTC).date()
    return page(
        visit.request, visit.visitor, "disclosures.html", "Accounting of disclosures",
        here="disclosures",
        first=_years_before(today), last=today, told=None, longest=_LONGEST_KEY, years=YEARS,
    )  # fmt: skip


def accounting(visit: Visit, form: Asked) -> Response:
    """The answer, as a page, CSV or the letter to the patient."""
    key = form.text("patient", longest=_LONGEST_KEY)
    first, last = form.day("from"), form.day("to")
    shape = form.one_of("as", _FORMS) or "page"
    if key is None:
        raise BadQueryError("patient: write the patient's key in the warehouse")
    if first is None or last is None or first > last:
        raise BadQueryError("from, to: expected two days, the first no later than the last")
    detail = {
        "patient": visit.keyring.pseudonym("patient", key),
        "pseudonym_key": visit.keyring.pseudonym_key_name,
        "from": first.isoformat(),
        "to": last.isoformat(),
        "as": shape,
    }
    visit.record(detail, action="opened" if shape == "page" else "exported")
    told = tell(
        visit.settings.home,
        visit.keyring,
        visit.store,
        warehouse.connect(visit.settings.warehouse_url),
        patient_key=key,
        first=first,
        last=last,
        checkpoints=Checkpoints(visit.settings.checkpoints_location),
    )
    if shape != "page":
        return _file(visit, told, key, shape)
    return page(
        visit.request, visit.visitor, "disclosures.html", "Accounting of disclosures",
        here="disclosures",
        first=first, last=last, told=told, key=key, longest=_LONGEST_KEY, years=YEARS,
        accountable=_lines("accountable", "Accounted for under 45 CFR 164.528",
                           told.accounting.accountable),
        excepted=_lines("excepted", "Excepted, listed all the same", told.accounting.excepted),
    )  # fmt: skip


def _lines(name: str, caption: str, found: list[Line]) -> Table:
    return table(
        name,
        caption,
        [
            ("day", "Day", "day"), ("to", "To", "text"), ("disclosed", "Disclosed", "text"),
            ("purpose", "For", "text"), ("through", "Through", "text"),
            ("outcome", "Outcome", "text"), ("basis", "Because", "text"),
            ("entries", "Entries", "code"),
        ],
        [
            [one.day, f"{one.recipient}, {one.address}", one.disclosed,
             f"{one.campaign}: {one.purpose}", f"{one.vendor}, {one.agreement}", one.outcome,
             one.basis, ", ".join(map(str, one.entries))]
            for one in found
        ],
    )  # fmt: skip


def _file(visit: Visit, told: Told, key: str, shape: str) -> Response:
    if shape == "csv":
        content, kind = as_csv(told.accounting).encode(), "text/csv; charset=utf-8; header=present"
    else:
        from reengage.accounting_letter import Facts, as_pdf

        practice = load_practice(visit.settings.home / "practice.yaml")
        made_on = datetime.now(UTC).astimezone(ZoneInfo(practice.time_zone)).date()
        patient = f"{told.name}, record {key}" if told.name else f"record {key}"
        content = as_pdf(Facts(practice, told.accounting, made_on, patient, told.evidence))
        kind = "application/pdf"
    # A file's name goes into histories and logs: it names nobody.
    headers = {"Content-Disposition": f'attachment; filename="accounting-of-disclosures.{shape}"'}
    return Response(content, headers=headers, media_type=kind)


def _years_before(day: date) -> date:
    return day - timedelta(days=YEARS * 365)
