"""Patient and RelatedPerson as rows: who a patient is, how to reach them, who acts for them.

What FHIR has no place for comes from extensions (docs/sources.md); an absent one is a no: an
address without `email-verified` was never verified, so nobody is written to at it (PRV-23).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from reengage.sources.fhir_element import Element
from reengage.sources.fhir_labels import categories

Row = list[Any]

NAME_USES = ("usual", "official", None, "nickname", "temp", "anonymous", "old", "maiden")
ADDRESS_USES = ("home", None, "temp", "work", "billing", "old")
CONTACT_USES = ("home", "mobile", None, "temp", "work", "old")
CONTACT_SYSTEMS = ("phone", "fax", "email", "pager", "url", "sms", "other")
CHANNELS = ("email", "phone", "post", "sms", "fax", "portal", "in-person", "other")
LIMITS = ("minor_consented", "law_or_court", "confidentiality_agreed")
GENDERS = ("male", "female", "other", "unknown")
LINKS = ("replaced-by", "replaces", "refer", "seealso")
SALUTATIONS = {"es": "Paciente"}
"""For a patient without a given name, by language; `Patient` in every other."""
_LANGUAGES = {"eng": "en", "spa": "es"}
_LATER_THAN_ANY = 1_000_000

_PARENT, _GUARDIAN, _ATTORNEY = "parent", "guardian", "power of attorney"
AUTHORITIES = {
    "PRN": _PARENT, "MTH": _PARENT, "FTH": _PARENT, "NPRN": _PARENT, "NMTH": _PARENT,
    "NFTH": _PARENT, "ADOPTP": _PARENT, "ADOPTM": _PARENT, "ADOPTF": _PARENT,
    "GUARD": _GUARDIAN,
    "POWATT": _ATTORNEY, "DPOWATT": _ATTORNEY, "HPOWATT": _ATTORNEY, "SPOWATT": _ATTORNEY,
    "EXCEST": "executor",
}  # fmt: skip
"""Of v3-RoleCode: who acts for a patient by law. A neighbour or an emergency contact does not."""
ROLE_CODE = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"


def patient_rows(resource: Element, today: date) -> Iterator[Row]:
    """The one row of table `patients`."""
    birth = resource.day("birthDate", partial="last")  # the strictest for coming of age (PRV-16)
    if birth is None:
        raise resource.fault("birthDate", "missing; give the year at least")
    language = _language(resource)
    given = _given_name(resource, today) or SALUTATIONS.get(language or "", "Patient")
    home = _home(resource, today)
    yield [
        resource.text("id"), given, birth, _death(resource, birth), language,
        *home, categories(resource), *_contact(resource, today), _set_aside(resource),
    ]  # fmt: skip


def _death(resource: Element, birth: date) -> date | None:
    """The first day on which the patient may have died; without a date, the birth (PRV-17)."""
    if resource.flag("deceasedBoolean"):
        return birth
    died = resource.day("deceasedDateTime", partial="first")
    latest = resource.day("deceasedDateTime", partial="last")
    earliest_birth = resource.day("birthDate", partial="first")
    if died is None or latest is None or earliest_birth is None:
        return None
    if latest < earliest_birth:
        raise resource.fault("deceasedDateTime", "before birthDate; mend one of them")
    return max(died, birth)


def _set_aside(resource: Element) -> str | None:
    """Why the record itself says not to use it; both elements are modifiers in R4."""
    if any(link.code("type", LINKS) == "replaced-by" for link in resource.each("link")):
        return "record replaced by another"
    return "record not in active use" if resource.flag("active") is False else None


def _given_name(resource: Element, today: date) -> str | None:
    names = _in_order(resource, "name", NAME_USES, today)
    wanted = (n for n in names if n.content.get("use") not in ("anonymous", "maiden"))
    return next((given for name in wanted for given in name.texts("given")), None)


def _language(resource: Element) -> str | None:
    spoken = list(resource.each("communication"))
    preferred = [one for one in spoken if one.flag("preferred")] or spoken
    if len(preferred) != 1 and not any(one.flag("preferred") for one in spoken):
        return None  # several, none of them preferred
    for coding in preferred[0].one("language").each("coding"):
        code = (coding.text("code") or "").lower().partition("-")[0]
        if len(code) == 2 and code.isascii() and code.isalpha():
            return code
        if code in _LANGUAGES:
            return _LANGUAGES[code]
    return None


def _home(resource: Element, today: date) -> tuple[str | None, str | None]:
    """State and ZIP, of an address in the United States."""
    for address in _in_order(resource, "address", ADDRESS_USES, today):
        if (address.text("country") or "US").upper() in ("US", "USA", "UNITED STATES"):
            return address.text("state"), address.text("postalCode")
    return None, None


def _in_order(
    resource: Element, name: str, uses: tuple[str | None, ...], today: date
) -> list[Element]:
    """Entries that are in use, the best first; in the resource's own order where equal."""
    current = []
    for entry in resource.each(name):
        use = entry.code("use", uses)
        if use != "old" and _in_force(entry, today):
            rank = entry.number("rank") if name == "telecom" else None
            # FHIR counts ranks from 1, the best; who has none comes after who has.
            current.append((rank or _LATER_THAN_ANY, uses.index(use), entry))
    return [entry for _, _, entry in sorted(current, key=lambda found: found[:2])]


def _in_force(entry: Element, today: date) -> bool:
    """Whether its `period` has begun for certain and cannot have ended; without one, always."""
    period = entry.one("period")
    start, end = period.day("start", partial="last"), period.day("end", partial="first")
    return (start is None or start <= today) and (end is None or end >= today)


@dataclass(frozen=True)
class _Address:
    email: str | None = None
    verified_at: str | None = None
    bounced_at: str | None = None

    @classmethod
    def of(cls, point: Element | None) -> _Address:
        if point is None:
            return cls()
        is_patients = point.path.startswith("Patient")
        return cls(
            point.text("value"),
            point.extended_instant("email-verified"),
            point.extended_instant("email-bounced") if is_patients else None,
        )


def _emails(resource: Element, today: date) -> list[Element]:
    points = _in_order(resource, "telecom", CONTACT_USES, today)
    return [p for p in points if p.code("system", CONTACT_SYSTEMS) == "email" and p.text("value")]


def _contact(resource: Element, today: date) -> Row:
    """Columns of the contract's `contact`: the request for a confidential channel wins (PRV-21)."""
    emails = _emails(resource, today)
    asked = [
        (channel, point)
        for point in [
            *_in_order(resource, "telecom", CONTACT_USES, today),
            *_in_order(resource, "address", ADDRESS_USES, today),
        ]
        if (channel := point.extended_code("confidential-channel", CHANNELS))
    ]
    for channel, point in asked:
        if channel == "email" and point not in emails:
            raise point.fault("extension", "the channel asked for is e-mail, this is no address")
    usual = _Address.of(next(iter(emails), None))
    if not asked:
        return [usual.email, usual.verified_at, None, None, None, usual.bounced_at]
    # Where e-mail is not the only thing asked for, it is not written to.
    channel, point = next((one for one in asked if one[0] != "email"), asked[0])
    own = _Address.of(point if channel == "email" else None)
    return [usual.email, usual.verified_at, channel, own.email, own.verified_at, own.bounced_at]


def related_person_rows(resource: Element, today: date) -> Iterator[Row]:
    """The one row of table `related_persons`; without an authority they only sign in vain."""
    patient = resource.reference("patient", "Patient")
    if patient is None:
        raise resource.fault("patient", "no reference to a Patient; give one")
    blocked = bool(resource.extended_flag("representative-blocked"))
    email = _Address.of(next(iter(_emails(resource, today)), None))
    yield [
        resource.text("id"), patient, _authority(resource), email.email, email.verified_at,
        resource.extended_code("representative-limited", LIMITS),
        blocked or not _in_force(resource, today) or resource.flag("active") is False,
    ]  # fmt: skip


def _authority(resource: Element) -> str | None:
    codes = [
        coding.text("code") or ""
        for relationship in resource.each("relationship")
        for coding in relationship.each("coding")
        if coding.text("system") == ROLE_CODE
    ]
    found = [AUTHORITIES[code] for code in codes if code in AUTHORITIES]
    return found[0] if found else None
