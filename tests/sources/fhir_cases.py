"""What each resource of a FHIR export becomes: a table of cases, one a line."""
# ruff: noqa: E501 - a case reads best on one line

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from fhir_export import (
    ACT_CODE,
    SIGNED,
    Resource,
    actor,
    appointment,
    consent,
    email,
    label,
    ours,
    patient,
    prescription,
    related,
    visit,
)

Row = dict[str, Any]
Case = tuple[str, list[Resource], str, Row | None]
"""What it shows, resources of a patient `p` (who is added if not among them), a view, its one row
there, as far as it matters; None = no row."""

CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
PAST, FUTURE, AHEAD = {"end": "2001-02-03"}, {"end": "2199-02-03"}, {"start": "2199-02-03"}
AT = datetime(2022, 3, 4, 5, 6, 7, tzinfo=UTC)
T = "2022-03-04T05:06:07Z"


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def p(**more: Any) -> list[Resource]:
    return [patient("p", **more)]


def named(*names: Resource) -> list[Resource]:
    return p(name=list(names))


def reached(*points: Resource, **more: Any) -> list[Resource]:
    return p(telecom=list(points), **more)


def given(name: str, use: str | None = None, **more: Any) -> Resource:
    return {"given": [name], **({"use": use} if use else {}), **more}


def labelled(code: str, system: str = ACT_CODE) -> list[Resource]:
    return p(meta=label(code, system))


BOUNCED = ours("email-bounced", valueDateTime=T)


def asked(channel: str) -> Resource:
    return ours("confidential-channel", valueCode=channel)


def es(code: str = "es", **more: Any) -> Resource:
    return {"language": {"coding": [{"code": code}]}, **more}


PATIENTS: list[Case] = [
    ("given", p(), "patient", {"given_name": "Ana", "birth_date": date(1980, 5, 6), "zip": "68102"}),
    ("usual first", named(given("B", "official"), given("A", "usual")), "patient", {"given_name": "A"}),
    ("not an old one", named(given("B", "old"), given("A", "temp")), "patient", {"given_name": "A"}),
    ("not one to come", named(given("B", "usual", period=AHEAD), given("A", "temp")), "patient", {"given_name": "A"}),
    ("no address to come", p(address=[{"use": "home", "state": "KS", "period": AHEAD}, {"use": "work", "state": "NE"}]), "patient", {"state": "NE"}),
    ("not an ended one", named(given("B", period=PAST), given("A", "temp")), "patient", {"given_name": "A"}),
    ("a later end", named(given("B", period=FUTURE), given("A", "temp")), "patient", {"given_name": "B"}),
    ("nameless", p(name=None), "patient", {"given_name": "Patient"}),
    ("nameless es", p(name=None, communication=[es()]), "patient", {"given_name": "Paciente"}),
    ("family only", named({"family": "X"}), "patient", {"given_name": "Patient"}),
    ("a year of birth", p(birthDate="2004"), "patient", {"birth_date": date(2004, 12, 31)}),
    ("a month of birth", p(birthDate="2004-02"), "patient", {"birth_date": date(2004, 2, 29)}),
    ("alive", p(deceasedBoolean=False), "patient", {"death_date": None}),
    ("dead, some day", p(deceasedBoolean=True), "patient", {"death_date": date(1980, 5, 6)}),
    ("dead", p(deceasedDateTime="2020-01-02T23:30:00-06:00"), "patient", {"death_date": date(2020, 1, 2)}),
    ("dead, some year", p(deceasedDateTime="2020"), "patient", {"death_date": date(2020, 1, 1)}),
    ("dead in the year of birth", p(deceasedDateTime="1980"), "patient", {"death_date": date(1980, 5, 6)}),
    ("preferred", p(communication=[es("en"), es(preferred=True)]), "patient", {"language": "es"}),
    ("the only one", p(communication=[es()]), "patient", {"language": "es"}),
    ("three letters", p(communication=[es("spa")]), "patient", {"language": "es"}),
    ("two languages", p(communication=[es("en"), es()]), "patient", {"language": None}),
    ("zone", p(), "patient", {"state": "NE", "time_zone": "America/Chicago"}),
    ("state in full", p(address=[{"state": "Texas"}]), "patient", {"state": "TX", "time_zone": "America/Chicago"}),
    ("abroad", p(address=[{"state": "CO", "country": "MX"}]), "patient", {"state": None, "time_zone": None, "zip": None}),
    ("home first", p(address=[{"use": "work", "state": "NY"}, {"use": "home", "state": "CA"}]), "patient", {"state": "CA"}),
    ("no address", p(address=None), "patient", {"state": None, "zip": None}),
    ("in use", p(active=True), "restriction", None),
    ("set aside", p(active=False), "restriction", {"kind": "record not in active use", "until": None}),
    ("replaced", p(link=[{"type": "replaced-by", "other": {"reference": "Patient/x"}}]), "restriction", {"kind": "record replaced by another"}),
    ("not replaced", p(link=[{"type": "replaces", "other": {"reference": "Patient/x"}}]), "restriction", None),
]  # fmt: skip

CONTACTS: list[Case] = [
    ("verified", reached(email("a@x.org", verified=T)), "contact", {"email": "a@x.org", "verified_at": AT, "confidential_channel": None, "bounced_at": None, "smime_certificate": None}),
    ("never verified", reached(email("a@x.org", verified=None)), "contact", {"email": "a@x.org", "verified_at": None}),
    ("no address", p(telecom=None), "contact", {"email": None, "verified_at": None}),
    ("a telephone", reached({"system": "phone", "value": "402-555-0100"}), "contact", {"email": None}),
    ("bounced", reached(email("a@x.org", extension=[BOUNCED])), "contact", {"bounced_at": AT}),
    ("ranked", reached(email("b@x.org", use="home"), email("c@x.org", rank=2), email("a@x.org", rank=1, use="work")), "contact", {"email": "a@x.org"}),
    ("home", reached(email("b@x.org", use="work"), email("a@x.org", use="home")), "contact", {"email": "a@x.org"}),
    ("the first", reached(email("a@x.org"), email("b@x.org")), "contact", {"email": "a@x.org"}),
    ("not an old one", reached(email("b@x.org", use="old", rank=1), email("a@x.org")), "contact", {"email": "a@x.org"}),
    ("not an ended one", reached(email("b@x.org", period=PAST, rank=1), email("a@x.org")), "contact", {"email": "a@x.org"}),
    ("asked for e-mail", reached(email("b@x.org", rank=1, extension=[BOUNCED]), email("a@x.org", verified=T, extension=[asked("email")])), "contact",
     {"email": "b@x.org", "confidential_channel": "email", "confidential_email": "a@x.org", "confidential_verified_at": AT, "bounced_at": None}),
    ("asked, and bounced", reached(email("b@x.org"), email("a@x.org", extension=[asked("email"), BOUNCED])), "contact", {"bounced_at": AT}),
    ("asked, not verified", reached(email("b@x.org"), email("a@x.org", verified=None, extension=[asked("email")])), "contact", {"confidential_verified_at": None}),
    ("asked for the telephone", reached(email("a@x.org"), {"system": "phone", "value": "1", "extension": [asked("phone")]}), "contact",
     {"confidential_channel": "phone", "confidential_email": None, "bounced_at": None}),
    ("asked for both", reached(email("a@x.org", extension=[asked("email")]), {"system": "phone", "value": "1", "extension": [asked("phone")]}), "contact", {"confidential_channel": "phone", "confidential_email": None}),
    ("asked for post", reached(email("a@x.org"), address=[{"state": "NE", "extension": [asked("post")]}]), "contact", {"confidential_channel": "post"}),
    ("asked for long ago", reached(email("a@x.org"), email("b@x.org", use="old", extension=[asked("email")])), "contact", {"confidential_channel": None}),
]  # fmt: skip

LABELS: list[Case] = [
    ("none", p(), "patient", {"sensitive_programme": False}),
    ("none", p(), "programme", None),
    ("a label", labelled("ETH"), "patient", {"sensitive_programme": True}),
    ("normal", labelled("N", CONFIDENTIALITY), "programme", None),
    ("of another system", labelled("HIV", "http://example.org/codes"), "programme", None),
    ("from birth", labelled("HIV"), "programme", {"category": "hiv", "since": utc(1980, 5, 6), "until": None}),
    *[(code, labelled(code), "programme", {"category": category}) for code, category in [
        ("ETH", "substance_use"), ("SUD", "substance_use"), ("42CFRPart2", "substance_use"), ("OPIOIDUD", "substance_use"),
        ("PSY", "mental_health"), ("MH", "mental_health"), ("SEX", "reproductive"), ("STD", "sexually_transmitted"),
        ("GENDER", "gender_affirming"), ("GDIS", "genetics"), ("ADOL", "minor_services"), ("SDV", "violence"),
        ("TBOO", "restricted"), ("UNHEARD-OF", "restricted"),
    ]],
    ("restricted", labelled("R", CONFIDENTIALITY), "programme", {"category": "restricted"}),
    ("very restricted", labelled("V", CONFIDENTIALITY), "programme", {"category": "restricted"}),
    ("a visit", [visit("p", T, meta=label("PSY"))], "programme", {"category": "mental_health", "since": AT}),
    ("a booking", [appointment("p", created=T, meta=label("PSY"))], "programme", {"category": "mental_health", "since": AT}),
    ("a place", [appointment("p", created=T, participant=[actor("Patient/p"), actor("Location/secret")])], "programme", {"category": "hiv", "since": AT}),
    ("a medicine only", [prescription("p", meta=label("PSY"))], "programme", None),
]  # fmt: skip

CARE: list[Case] = [
    ("a visit", [visit("p", period={"start": "2022-03-04T05:06:07Z", "end": "2022-03-04T05:26:07Z"})], "visit",
     {"start_at": AT, "end_at": utc(2022, 3, 4, 5, 26, 7), "status": "finished", "service_line": "ambulatory"}),
    ("a bare day is one in every US zone", [visit("p", "2022-03-04")], "visit", {"start_at": utc(2022, 3, 4, 12)}),
    *[(status, [visit("p", status=status)], "visit", {"status": told}) for status, told in [
        ("planned", "planned"), ("arrived", "finished"), ("triaged", "finished"), ("in-progress", "finished"),
        ("onleave", "finished"), ("unknown", "finished"), ("cancelled", "cancelled"),
    ]],
    ("in error", [visit("p", status="entered-in-error")], "visit", None),
    ("planned for no day", [visit("p", status="planned", period=None)], "visit", None),
    ("service", [visit("p", serviceType={"text": "cardiology"})], "visit", {"service_line": "cardiology"}),
    ("whole address", [visit("p", subject={"reference": "https://ehr.example.org/r4/Patient/p/_history/3"})], "visit", {"patient_key": "p"}),
    ("booked", [appointment("p")], "appointment",
     {"appointment_key": "booking-p", "status": "booked", "booked_at": utc(2023, 5, 20, 9), "start_at": utc(2023, 6, 15, 14), "location": "Cedar Hill, 12 Summit Avenue, Topeka"}),
    *[(status, [appointment("p", status=status)], "appointment", {"status": told}) for status, told in [
        ("pending", "booked"), ("arrived", "booked"), ("checked-in", "booked"), ("fulfilled", "booked"),
        ("cancelled", "cancelled"), ("noshow", "cancelled"), ("entered-in-error", "cancelled"),
    ]],
    ("proposed", [appointment("p", status="proposed")], "appointment", None),
    ("waiting", [appointment("p", status="waitlist")], "appointment", None),
    ("cancelled without a day", [appointment("p", status="cancelled", start=None, end=None)], "appointment", None),
    ("declined", [appointment("p", participant=[actor("Patient/p", status="declined")])], "appointment", {"status": "cancelled"}),
    ("not known when booked", [appointment("p", created=None)], "appointment", {"booked_at": None}),
    ("display of a place", [appointment("p", participant=[actor("Patient/p"), actor("Location/gone", display="East Wing")])], "appointment", {"location": "East Wing"}),
    ("nowhere", [appointment("p", participant=[actor("Patient/p")])], "appointment", {"location": "Prairie Family Health, 100 Harney Street, Omaha, NE 68102"}),
    ("for a practitioner only", [appointment("p", participant=[actor("Practitioner/x")])], "appointment", None),
    ("of two", [appointment("p", participant=[actor("Patient/p"), actor("Patient/other")])], "appointment", {"appointment_key": "booking-p/p"}),
]  # fmt: skip


def drug(**more: Any) -> list[Resource]:
    return [prescription("p", **more)]


def timed(**repeat: Any) -> Resource:
    return {"dosageInstruction": [{"text": "one a day", "timing": {"repeat": repeat}}]}


def medicine(words: str) -> Resource:
    return {"medicationCodeableConcept": {"text": words}}


FIT = (
    "x" * 200, "1 tab p.o. b.i.d. after meals", "500-1000 mg as needed", "250-1000 units at night",
    "from 2021-02-03 for 10 days", "1/2 tablet, then 1 tablet/day (max. 2)", "una tableta al día",
)  # fmt: skip
UNFIT = (
    "x" * 201, "one a day\nor two", "one a day\tor two", "one \u202eyad a", "one a day\u2028two",
    "see https://rx.example.org/a", "see www.example", "see rx-info.example.com", "ask bit.ly/abc",
    "ask dr@example", "call 402-555-0100", "call (402) 555 0100", "call 4025550100",
    "call +44 20 7946 0000", "call 555-0100", "call 555.0100.",
)  # fmt: skip
SUPPLY = {"value": 30, "code": "d"}
UNTIL = {"validityPeriod": {"end": "2022-05-06"}}
MEDICINES: list[Case] = [
    ("open", drug(), "medication",
     {"name": "lisinopril", "dosage_text": "10 MG Oral Tablet, one a day", "start_at": utc(2021, 2, 3, 12), "end_at": None, "lapsed_on": None, "sensitive_class": None}),
    ("no instruction", drug(dosageInstruction=None), "medication", {"dosage_text": "10 MG Oral Tablet"}),
    ("no strength", drug(**medicine("lisinopril")), "medication", {"name": "lisinopril", "dosage_text": "one a day"}),
    ("neither", drug(**medicine("lisinopril"), dosageInstruction=None), "medication", {"dosage_text": "as prescribed"}),
    ("of a coding", drug(medicationCodeableConcept={"coding": [{"code": "1", "display": "ramipril 5 MG"}]}), "medication", {"name": "ramipril"}),
    ("of a reference", drug(medicationCodeableConcept=None, medicationReference={"reference": "Medication/1", "display": "ramipril"}), "medication", {"name": "ramipril"}),
    ("contained", drug(medicationCodeableConcept=None, medicationReference={"reference": "#m"}, contained=[{"resourceType": "Medication", "id": "m", "code": {"text": "ramipril"}}]), "medication", {"name": "ramipril"}),
    ("sensitive by name", drug(**medicine("Sertraline 50 MG")), "medication", {"sensitive_class": "psychiatric"}),
    ("sensitive by brand", drug(**medicine("BIKTARVY 50-200-25 MG")), "medication", {"sensitive_class": "hiv"}),
    ("sensitive by a coding", drug(medicationCodeableConcept={"text": "the small one", "coding": [{"display": "tenofovir"}]}), "medication", {"sensitive_class": "hiv"}),
    ("sensitive by instruction", drug(dosageInstruction=[{"text": "with Methadone"}]), "medication", {"sensitive_class": "substance_use"}),
    *[(f"fit for a letter: {words}", drug(dosageInstruction=[{"text": words}]), "medication", {"dosage_text": f"10 MG Oral Tablet, {words}"}) for words in FIT],
    *[(f"not fit for a letter: {words}", drug(dosageInstruction=[{"text": words}]), "medication", {"name": "lisinopril", "dosage_text": ""}) for words in UNFIT],
    ("a name that is not fit", drug(**medicine("lisinopril, see rx.example.com")), "medication", {"dosage_text": ""}),
    ("sensitive and not fit", drug(dosageInstruction=[{"text": "with Methadone, call 402-555-0100"}]), "medication", {"dosage_text": "", "sensitive_class": "substance_use"}),
    ("sensitive by label", drug(meta=label("PSY")), "medication", {"sensitive_class": "mental_health"}),
    *[(status, drug(status=status, meta={"lastUpdated": T}), "medication", {"end_at": AT}) for status in ("on-hold", "cancelled", "completed", "stopped")],
    ("ended on no known day", drug(status="stopped"), "medication", {"end_at": utc(2021, 2, 3, 12)}),
    ("ended before it was written down", drug(status="stopped", meta={"lastUpdated": T}, **timed(boundsPeriod={"end": "2021-06-01"})), "medication", {"end_at": utc(2021, 6, 1, 12)}),
    *[(status, drug(status=status), "medication", None) for status in ("entered-in-error", "draft", "unknown")],
    *[(intent, drug(intent=intent), "medication", None) for intent in ("proposal", "plan", "filler-order", "instance-order", "option")],
    ("not to be taken", drug(doNotPerform=True), "medication", None),
    ("a course", drug(**timed(boundsPeriod={"end": "2021-06-01"})), "medication", {"end_at": utc(2021, 6, 1, 12), "lapsed_on": None}),
    ("a course of days", drug(**timed(boundsDuration={"value": 2, "code": "wk"})), "medication", {"end_at": utc(2021, 2, 17, 12)}),
    ("one instruction goes on", drug(dosageInstruction=[{"timing": {"repeat": {"boundsPeriod": PAST}}}, {"text": "then one"}]), "medication", {"end_at": None}),
    ("run out", drug(dispenseRequest=UNTIL), "medication", {"lapsed_on": date(2022, 5, 6), "end_at": None}),
    ("supply", drug(dispenseRequest={"expectedSupplyDuration": SUPPLY, "numberOfRepeatsAllowed": 1}), "medication", {"lapsed_on": date(2021, 4, 4)}),
    ("the earlier of both", drug(dispenseRequest=UNTIL | {"expectedSupplyDuration": SUPPLY}), "medication", {"lapsed_on": date(2021, 3, 5)}),
    ("begun with its validity", drug(authoredOn=None, dispenseRequest={"validityPeriod": {"start": T}}), "medication", {"start_at": AT}),
]  # fmt: skip


def form(*extensions: Resource, purpose: str = "email", **more: Any) -> list[Resource]:
    made = consent("p", purpose)
    return [made | {"extension": [*made["extension"], *extensions]} | more]


def permit(**more: Any) -> Resource:
    return {"provision": {"type": "permit", **more}}


REVOKED = ours("consent-revoked", valueDateTime=T)
SIGNED_AT = datetime.fromisoformat(SIGNED)
DENY = {"provision": {"type": "deny"}}
OPT_OUT = {"policyRule": {"coding": [{"system": ACT_CODE, "code": "OPTOUT"}]}}
OPT_IN = {"policyRule": {"coding": [{"system": ACT_CODE, "code": "OPTIN"}]}}
MARKETING = [
    {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HMARKT"}]}
]
OTHER = [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}]
A = "authorization"
CONSENTS: list[Case] = [
    ("whole", form(), A, {
        "authorization_key": "form-p/email", "purpose": "email", "form_version": "https://prairie.example.org/forms/email-3",
        "information": "reminders", "discloser": "the practice", "recipient": "the patient", "purpose_text": "care",
        "expires_on": date(2030, 1, 2), "expires_event": None, "event_at": None, "signed_at": SIGNED_AT, "representative_key": None,
        "notice_revocation": True, "notice_conditioning": True, "notice_redisclosure": True, "compound": False,
        "conditioned": False, "remuneration_stated": None, "known_false": None, "revoked_at": None}),
    ("no opt-out", form(), "opt_out", None),
    ("marketing", form(purpose="marketing"), A, {"purpose": "marketing", "authorization_key": "form-p/marketing"}),
    ("HL7's marketing", form(category=MARKETING), A, {"purpose": "marketing"}),
    ("part 2", form(purpose="part2"), A, {"purpose": "part2"}),
    ("HL7's part 2", form(category=[{"coding": [{"system": ACT_CODE, "code": "42CFRPart2"}]}]), A, {"purpose": "part2"}),
    ("of no purpose of ours", form(category=OTHER), A, None),
    ("nothing that FHIR lacks", [consent("p", extension=None)], A, {"information": None, "discloser": None, "recipient": None, "purpose_text": None, "notice_revocation": None, "compound": None, "conditioned": None}),
    ("FHIR's own elements", [consent("p", extension=None, organization=[{"display": "Prairie"}], provision={
        "type": "permit", "code": [{"text": "visits"}, {"coding": [{"display": "drugs"}]}], "purpose": [{"display": "treatment"}],
        "actor": [{"role": {"coding": [{"code": "IRCP"}]}, "reference": {"display": "Ana"}}]})],
     A, {"information": "visits, drugs", "discloser": "Prairie", "recipient": "Ana", "purpose_text": "treatment", "expires_on": None}),
    ("paid for", form(ours("consent-remuneration-stated", valueBoolean=True)), A, {"remuneration_stated": True}),
    ("false", form(ours("consent-known-false", valueBoolean=True)), A, {"known_false": True}),
    ("until an event", form(ours("consent-expires-event", valueString="end of care"), ours("consent-event-at", valueDateTime=T), **permit()), A, {"expires_on": None, "expires_event": "end of care", "event_at": AT}),
    ("a bare day", form(dateTime="2022-03-04"), A, {"signed_at": utc(2022, 3, 4, 12)}),
    ("no date", [consent("p", dateTime=None)], A, {"signed_at": None}),
    ("no signer", [consent("p", performer=None)], A, {"signed_at": None}),
    ("a clerk", form(performer=[{"reference": "Practitioner/x"}]), A, {"signed_at": None, "representative_key": None}),
    ("a parent", [related("p"), *form(performer=[{"reference": "RelatedPerson/parent-p"}])], A, {"representative_key": "parent-p", "signed_at": SIGNED_AT}),
    ("words of the rule", [consent("p", policy=None, policyRule={"text": "form 3"})], A, {"form_version": "form 3"}),
    ("no version", [consent("p", policy=None, **OPT_IN)], A, {"form_version": None}),
    ("permitted by its rule", form(**OPT_IN, provision={"period": FUTURE}), A, {"expires_on": date(2199, 2, 3)}),
    ("neither permits nor denies", form(provision={"period": FUTURE}), A, None),
    *[(status, form(status=status), A, None) for status in ("draft", "proposed", "entered-in-error")],
    ("revoked", form(REVOKED), A, {"revoked_at": AT}),
    ("inactive, revoked", form(REVOKED, status="inactive"), A, {"revoked_at": AT}),
    ("inactive, since no known day", form(status="inactive", **permit(period=FUTURE)), A, {"revoked_at": SIGNED_AT}),
    ("inactive, as it expired", form(status="inactive", **permit(period=PAST)), A, {"revoked_at": None, "expires_on": date(2001, 2, 3)}),
    ("rejected", form(status="rejected"), A, {"revoked_at": SIGNED_AT, "signed_at": SIGNED_AT}),
    ("rejected once", form(status="rejected"), "opt_out", None),
    ("denied", form(**DENY), "opt_out", {"campaign": None, "at": SIGNED_AT}),
    ("denied, on no known day", [consent("p", dateTime=None, **DENY)], "opt_out", {"at": utc(1850, 1, 1)}),
    ("denied", form(**DENY), A, {"purpose": "email", "revoked_at": SIGNED_AT}),
    ("opted out by its rule", form(**OPT_OUT), "opt_out", {"campaign": None}),
    ("a no taken back", form(status="inactive", **DENY), "opt_out", None),
    ("marketing denied", form(purpose="marketing", **DENY), A, {"purpose": "marketing", "revoked_at": SIGNED_AT}),
    ("marketing denied, before its last change", [consent("p", "marketing", dateTime=None, meta={"lastUpdated": "2020-07-08T09:00:00Z"}, **DENY)], A,
     {"signed_at": utc(2020, 7, 8, 9), "revoked_at": utc(2020, 7, 8, 9)}),
    ("rejected, before its last change", [consent("p", dateTime=None, status="rejected", meta={"lastUpdated": T})], A, {"signed_at": AT, "revoked_at": AT}),
    ("marketing denied, e-mail not", form(purpose="marketing", **DENY), "opt_out", None),
    ("something denied", form(category=OTHER, provision={"type": "deny", "period": {"end": "2030-01-02"}}), "restriction",
     {"kind": "consent directive", "since": SIGNED_AT, "until": utc(2030, 1, 2, 12)}),
    ("something denied before", form(category=OTHER, status="inactive", **DENY), "restriction", None),
    ("a study denied", form(category=OTHER, scope={"coding": [{"code": "research"}]}, **DENY), "restriction", {"kind": "consent directive"}),
    ("something denied by its rule", form(category=OTHER, scope={"text": "care"}, **OPT_OUT), "restriction", {"since": SIGNED_AT}),
    ("something denied in error", form(category=OTHER, status="entered-in-error", **DENY), "restriction", None),
    ("an exception", form(**permit(provision=[{"type": "deny"}])), "restriction", {"kind": "consent with exceptions", "until": None}),
    ("no exception", form(), "restriction", None),
    *[(role, [related("p", role)], "representative", row) for role, row in [
        ("MTH", {"authority": "parent", "representative_key": "parent-p", "email": "parent.p@example.org", "blocked": False, "limited_by": None}),
        ("GUARD", {"authority": "guardian"}), ("HPOWATT", {"authority": "power of attorney"}), ("EXCEST", {"authority": "executor"}),
        ("NBOR", None),
    ]],
    ("no relationship", [related("p", relationship=None)], "representative", None),
    ("not verified", [related("p", telecom=[email("a@x.org", verified=None)])], "representative", {"email": "a@x.org", "verified_at": None}),
    ("inactive", [related("p", active=False)], "representative", {"blocked": True}),
    ("ended", [related("p", period=PAST)], "representative", {"blocked": True}),
    ("not begun", [related("p", period=AHEAD)], "representative", {"blocked": True}),
    ("begun", [related("p", period={"start": "2001", **FUTURE})], "representative", {"blocked": False}),
    ("reached from another year on", [related("p", telecom=[email("a@x.org", period=AHEAD)])], "representative", {"email": None, "verified_at": None}),
    ("blocked", [related("p", extension=[ours("representative-blocked", valueBoolean=True)])], "representative", {"blocked": True}),
    ("limited", [related("p", extension=[ours("representative-limited", valueCode="law_or_court")])], "representative", {"limited_by": "law_or_court"}),
]  # fmt: skip

CASES = [*PATIENTS, *CONTACTS, *LABELS, *CARE, *MEDICINES, *CONSENTS]
