"""The case table, last part: the person, addresses, programmes, and what the letter is about."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from eligibility import (
    APPOINTMENT,
    CLOSES,
    INSTANT,
    LAST,
    MEDICATION,
    MIDNIGHT,
    ONE_DAY,
    OPENS,
    OUT,
    SIGNED,
    case,
)
from eligibility_forms import FORMS, RESTRICTION
from eligibility_minors import MINORS, SIGNERS, of_child
from world import DAY, NOW

LIVES = [
    case("born 120 years ago", "PRV-16", patient={"birth_date": date(1905, 6, 2)}),
    case("born 120 years and a day ago", "PRV-16", "birth_date_implausible",
         patient={"birth_date": date(1905, 6, 1)}),
    case("born in 1800", "PRV-16", "birth_date_implausible",
         patient={"birth_date": date(1800, 1, 1)}),
    of_child("born today", "PRV-16", patient={"birth_date": DAY}),
    of_child("born tomorrow", "PRV-16", "birth_date_implausible",
             patient={"birth_date": DAY + ONE_DAY}),
    case("died on the day", "PRV-17", OUT, patient={"death_date": DAY}),
    case("died the day after, as is known by now", "PRV-17",
         patient={"death_date": DAY + ONE_DAY}),
    case("a death date that nobody can know yet", "PRV-17", "death_date_implausible",
         patient={"death_date": DAY + timedelta(days=9)}),
]  # fmt: skip

ASKED_FOR = {
    "confidential_channel": "email",
    "confidential_email": "quiet@example.org",
    "confidential_verified_at": NOW - timedelta(days=20),
}
ADDRESSES = [
    case("asked for letters by post", "PRV-21", "confidential_channel no_address",
         contact={"confidential_channel": "post"}),
    case("asked for letters by post, an address is on file, too", "PRV-21", "confidential_channel",
         contact={**ASKED_FOR, "confidential_channel": "post"}),
    case("asked for another address", "PRV-21", contact=ASKED_FOR),
    case("asked for another address, the first never confirmed", "PRV-21",
         contact={**ASKED_FOR, "verified_at": None}),
    case("asked for another address, which nobody wrote down", "PRV-21", "no_address",
         contact={**ASKED_FOR, "confidential_email": None}),
    case("asked for another address, never confirmed", "PRV-23", "address_unverified",
         contact={**ASKED_FOR, "confidential_verified_at": None}),
    case("asked for another address, which came back", "PRV-23", "address_bounced",
         contact={**ASKED_FOR, "bounced_at": NOW}),
    of_child("17, asked for another address", "PRV-21", "confidential_channel", contact=ASKED_FOR),
    of_child("17, asked for the post", "PRV-21", "confidential_channel",
             contact={"confidential_channel": "post"}),
    case("no contact", "PRV-23", "no_address", contact=None),
    case("no address", "PRV-23", "no_address", contact={"email": None}),
    case("never confirmed", "PRV-23", "address_unverified", contact={"verified_at": None}),
    case("confirmed at the last instant", "PRV-23", contact={"verified_at": LAST}),
    case("confirmed tomorrow", "PRV-23", "address_unverified", contact={"verified_at": MIDNIGHT}),
    case("came back at the last instant", "PRV-23", "address_bounced",
         contact={"bounced_at": LAST}),
    case("comes back tomorrow", "PRV-23", contact={"bounced_at": MIDNIGHT}),
    case("came back in the instant it was confirmed", "PRV-23", "address_bounced",
         contact={"bounced_at": SIGNED, "verified_at": SIGNED}),
    case("came back before it was confirmed", "PRV-23",
         contact={"bounced_at": SIGNED - INSTANT, "verified_at": SIGNED}),
    case("a certificate that is none, and no portal", "EML-23", "certificate_malformed",
         contact={"smime_certificate": "none", "reads_authenticated_encryption": True}),
    of_child("17, with a certificate of their own, which counts for no parent", "PRV-15 EML-23",
             contact={"smime_certificate": "none", "reads_authenticated_encryption": True}),
    case("an address with a line break", "EML-02", "address_malformed",
         contact={"email": "jo@example.org\r\nBcc: x@example.org"}),
    case("an address without a host", "EML-02", "address_malformed", contact={"email": "jo"}),
    case("a given name that is empty", "EML-02", "field_unusable", patient={"given_name": ""}),
    case("a time zone that does not exist", "PRV-20", notes="time_zone_unknown",
         patient={"time_zone": "Mars/Olympus"}),
    case("no time zone", "PRV-20", patient={"time_zone": None}),
    case("lives in another time zone", "PRV-20", patient={"time_zone": "America/Denver"}),
    case("speaks Spanish", "PRV-20", patient={"language": "es"}),
    case("speaks a language without a letter", "PRV-20", patient={"language": "fr"}),
    case("speaks nobody knows which language", "PRV-20", patient={"language": None}),
]  # fmt: skip

CARE = {"sensitive_programme": True}


def member(category: str, **row: Any) -> list[dict[str, Any]]:
    return [{"category": category, "since": NOW - timedelta(days=700), "until": None, **row}]


PART2 = {"authorization_key": "part2", "purpose": "part2"}
PROGRAMMES = [
    case("in a programme, nobody says which", "PRV-32", "sensitive_programme", patient=CARE),
    case("in a programme or not, nobody knows", "PRV-32", "sensitive_programme",
         patient={"sensitive_programme": None}),
    case("the state's rule denies", "PRV-32", "sensitive_programme", patient=CARE,
         programme=member("hiv")),
    case("the state's rule allows, on its last day", "PRV-33", patient=CARE,
         programme=member("mental_health")),
    case("the state's rule is outdated since yesterday", "PRV-33", "no_jurisdiction_rule",
         patient=CARE, programme=member("genetics")),
    case("the state's rule was reviewed tomorrow", "PRV-33", "no_jurisdiction_rule",
         patient=CARE, programme=member("reproductive")),
    case("the state has no rule", "PRV-33", "no_jurisdiction_rule", patient=CARE,
         programme=member("gender_affirming")),
    case("a rule of another state", "PRV-33", "no_jurisdiction_rule",
         patient={**CARE, "state": "IA"}, programme=member("mental_health")),
    case("lives nobody knows where", "PRV-33", "no_jurisdiction_rule",
         patient={**CARE, "state": None}, programme=member("mental_health")),
    case("the flag says no, the programme yes", "PRV-33", "no_jurisdiction_rule",
         programme=member("gender_affirming")),
    case("one programme allowed, one denied", "PRV-32", "sensitive_programme", patient=CARE,
         programme=member("mental_health") + member("hiv")),
    case("one programme allowed, one without a rule", "PRV-33", "no_jurisdiction_rule",
         patient=CARE, programme=member("mental_health") + member("gender_affirming")),
    case("what was sensitive stays so", "PRV-32", "sensitive_programme", patient=CARE,
         programme=member("hiv", until=NOW - timedelta(days=600))),
    case("a programme from the last instant on", "PRV-33", "no_jurisdiction_rule",
         programme=member("gender_affirming", since=LAST)),
    case("a programme from tomorrow on", "PRV-33",
         programme=member("gender_affirming", since=MIDNIGHT)),
    case("substance use, no consent of its own", "PRV-29", "no_part2_consent", patient=CARE,
         programme=member("substance_use")),
    case("substance use, with a consent of its own", "PRV-29", patient=CARE,
         programme=member("substance_use"), more=[PART2]),
    case("substance use, the consent expired", "PRV-29", "authorization_expired", patient=CARE,
         programme=member("substance_use"), more=[{**PART2, "expires_on": DAY - ONE_DAY}]),
    case("substance use in a state without a rule", "PRV-33",
         "no_part2_consent no_jurisdiction_rule", patient={**CARE, "state": "IA"},
         programme=member("substance_use")),
    case("everything at once", "PRV-18",
         "restriction opted_out authorization_expired confidential_channel no_address"
         " sensitive_programme",
         patient=CARE, contact={"confidential_channel": "post"},
         email={"expires_on": date(2020, 1, 1)}, restriction=[RESTRICTION],
         opt_out=[{"campaign": None, "at": NOW}]),
]  # fmt: skip

CANDIDATES = [
    case("seen in the instant before the window", "PRV-18", visit={"start_at": OPENS - INSTANT}),
    case("seen in the window's first instant", "PRV-18", OUT, visit={"start_at": OPENS}),
    case("seen at the day's last instant", "PRV-18", OUT, visit={"start_at": LAST}),
    case("seen long ago, and again in the window", "PRV-18", OUT,
         visit=[{}, {"visit_key": "again", "start_at": LAST}]),
    case("seen long ago, the visit since was cancelled", "PRV-18",
         visit=[{}, {"visit_key": "again", "start_at": NOW, "status": "cancelled"}]),
    case("seen long ago, the next visit is tomorrow", "PRV-18",
         visit=[{}, {"visit_key": "next", "start_at": MIDNIGHT, "status": "planned"}]),
    case("the only visit was cancelled", "PRV-18", OUT, visit={"status": "cancelled"}),
    case("never seen", "PRV-18", OUT, visit=None),
    case("first seen after the day", "PRV-18", OUT, visit={"start_at": MIDNIGHT}),
    *[case(name, "PRV-18", reasons, appointment=row) for name, reasons, row in [
        ("booked for the first instant after the day", OUT, {"start_at": MIDNIGHT}),
        ("booked for the last instant of the 30 days", OUT, {"start_at": CLOSES - INSTANT}),
        ("booked for after the 30 days", "", {"start_at": CLOSES}),
        ("booked for later this day", "", {"start_at": LAST}),
        ("an appointment that was cancelled", "", {"status": "cancelled"}),
        ("booked only tomorrow", "", {"booked_at": MIDNIGHT}),
        ("booked at the last instant", OUT, {"booked_at": LAST}),
        ("booked nobody knows when", OUT, {"booked_at": None}),
    ]],
]  # fmt: skip

TOLD = "sensitive_service_line"
APPOINTMENTS = [
    case("an appointment in a week", "PRV-18", campaigns=APPOINTMENT),
    *[case(f"appointment: {name}", "PRV-18", reasons, campaigns=APPOINTMENT, appointment=row)
      for name, reasons, row in [
        ("tomorrow's first instant", "", {"start_at": MIDNIGHT}),
        ("later this day", OUT, {"start_at": LAST}),
        ("the last instant of the 30 days", "", {"start_at": CLOSES - INSTANT}),
        ("after the 30 days", OUT, {"start_at": CLOSES}),
        ("cancelled", OUT, {"status": "cancelled"}),
        ("booked only tomorrow", OUT, {"booked_at": MIDNIGHT}),
        ("booked nobody knows when", "", {"booked_at": None}),
    ]],
    *[case(f"appointment: {name}", "PRV-32", reasons, campaigns=APPOINTMENT, appointment=row)
      for name, reasons, row in [
        ("its service line is sensitive", TOLD, {"service_line": "HIV"}),
        ("its service line is written otherwise", TOLD, {"service_line": "BEHAVIORAL_HEALTH"}),
        ("its place is sensitive", TOLD, {"location": "Elm Street Mental-Health Center, Omaha"}),
        ("a part of a word is none", "", {"location": "Stigler Clinic, 1 Hivert Street, Osti"}),
        ("its service line is not known", "", {"service_line": None}),
        ("a later one is sensitive", "", [
            {}, {"appointment_key": "later", "start_at": CLOSES - INSTANT, "service_line": "HIV"}]),
        ("the earliest is sensitive", TOLD, [
            {}, {"appointment_key": "earliest", "start_at": MIDNIGHT, "service_line": "HIV"}]),
        ("a sensitive one was cancelled", "", [
            {}, {"appointment_key": "gone", "status": "cancelled", "service_line": "HIV"}]),
    ]],
]  # fmt: skip

PRESCRIPTIONS = [
    case("a prescription that is current", "PRV-10", campaigns=MEDICATION),
    *[case(f"prescription: {name}", "PRV-10", reasons, campaigns=MEDICATION, medication=row)
      for name, reasons, row in [
        ("none", OUT, None),
        ("begins at the last instant", "", {"start_at": LAST}),
        ("begins tomorrow", OUT, {"start_at": MIDNIGHT}),
        ("ended at the last instant", OUT, {"end_at": LAST}),
        ("ends tomorrow", "", {"end_at": MIDNIGHT}),
        ("lapsed 90 days ago", "", {"lapsed_on": DAY - timedelta(days=90)}),
        ("lapsed 91 days ago", OUT, {"lapsed_on": DAY - timedelta(days=91)}),
        ("will lapse tomorrow", "", {"lapsed_on": DAY + ONE_DAY}),
    ]],
    case("prescription: a dosage that is fit for no letter", "EML-02", "field_unusable",
         campaigns=MEDICATION, medication={"dosage_text": ""}),
    case("prescription: of a sensitive class", "PRV-32", "sensitive_medicine",
         campaigns=MEDICATION, medication={"sensitive_class": "hiv"}),
    case("prescription: a sensitive one, and another", "PRV-32", campaigns=MEDICATION,
         medication=[{}, {"medication_key": "newer", "start_at": NOW - ONE_DAY,
                          "sensitive_class": "hiv"}]),
]  # fmt: skip

CASES = [
    *FORMS, *SIGNERS, *LIVES, *MINORS, *ADDRESSES, *PROGRAMMES, *CANDIDATES, *APPOINTMENTS,
    *PRESCRIPTIONS,
]  # fmt: skip
