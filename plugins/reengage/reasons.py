"""Reasons: every code that a decision or a last look may give, what it means and what it rests on.

Codes hold nothing of a patient; reports count them. The page docs/reasons.md shows this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Origin = Literal["warehouse", "store", "row"]


@dataclass(frozen=True)
class Reason:
    """Why a patient is not written to."""

    code: str
    means: str
    rules: tuple[str, ...] = ()
    rests_on: tuple[str, ...] = ()
    """Parts of a decision's evidence: keys and instants of the rows that it rests on."""
    origin: Origin = "warehouse"
    """Who knows: the warehouse, our own store, or the row that a letter would be made of."""
    contradiction: bool = False
    """Whether it tells of data that cannot be right: counted as data quality, too."""


_FORMS = ("forms",)
_NO_PORTAL = "and there is no portal"
_CERTIFICATES = (
    ("certificate_malformed", f"the certificate cannot be read, {_NO_PORTAL}", True),
    ("certificate_too_large", f"the certificate is larger than any, {_NO_PORTAL}", True),
    ("certificate_not_yet_valid", f"the certificate is not valid yet, {_NO_PORTAL}", False),
    ("certificate_expired", f"the certificate has expired, {_NO_PORTAL}", False),
    ("certificate_wrong_address", f"the certificate is for another address, {_NO_PORTAL}", False),
    ("certificate_weak_key", f"the certificate's key is too weak, {_NO_PORTAL}", False),
    ("certificate_wrong_usage", f"the certificate is not for encrypted mail, {_NO_PORTAL}", False),
    ("certificate_untrusted", f"no trusted authority gave the certificate, {_NO_PORTAL}", False),
    ("certificate_revoked", f"the certificate was revoked, {_NO_PORTAL}", False),
    (
        "certificate_revocation_unknown",
        f"nothing current says that the certificate was not revoked, {_NO_PORTAL}",
        False,
    ),
    (
        "certificate_client_unknown",
        f"has a certificate and no client known to read authenticated encryption, {_NO_PORTAL}",
        False,
    ),
    (
        "no_signing_certificate",
        f"has a certificate, the practice has none in force to sign with, {_NO_PORTAL}",
        False,
    ),
)
"""Who has a certificate on file is written to end to end or not at all (sealing/way.py)."""

EXCLUDED = (
    Reason("deceased", "a death date on or before the day", ("PRV-17",), ("death_date",)),
    Reason(
        "death_date_implausible",
        "a death date beyond what the warehouse can know: a death all the same, or a slip",
        ("PRV-17",),
        ("death_date",),
        contradiction=True,
    ),
    Reason(
        "birth_date_implausible",
        "born after the day, or more than 120 years before it",
        ("PRV-16",),
        ("minor",),
        contradiction=True,
    ),
    Reason(
        "restriction",
        "the practice agreed not to write, or the patient asked so at the portal",
        ("PRV-22",),
        ("restricted_since",),
    ),
    Reason(
        "opted_out",
        "opted out of this campaign or of all, in the warehouse or with us",
        ("EML-26",),
        ("opted_out_at",),
    ),
    Reason("no_authorization", "no form on file for a purpose that is needed", ("PRV-01",), _FORMS),
    Reason("no_part2_consent", "substance use, and no consent of its own", ("PRV-29",), _FORMS),
    Reason(
        "authorization_incomplete",
        "an element or a notice is missing, or the authority of who signed",
        ("PRV-01", "PRV-02"),
        _FORMS,
    ),
    Reason(
        "authorization_expired",
        "past its last day, or the event that ends it is known",
        ("PRV-04",),
        _FORMS,
    ),
    Reason(
        "authorization_revoked",
        "revoked, here or with the practice; it ends every form of the purpose signed until then",
        ("PRV-06",),
        _FORMS,
    ),
    Reason(
        "authorization_contradictory",
        "revoked before it was signed",
        ("PRV-04",),
        _FORMS,
        contradiction=True,
    ),
    Reason("authorization_false", "material content is known to be false", ("PRV-04",), _FORMS),
    Reason(
        "authorization_compound",
        "marketing: part of another document, or a condition of care",
        ("PRV-05",),
        _FORMS,
    ),
    Reason(
        "remuneration_unstated",
        "a paid campaign, and the form does not say so",
        ("PRV-08",),
        _FORMS,
    ),
    Reason(
        "authorization_signer",
        "signed by who may not: a minor alone, who does not act for all of the patient's care or no"
        " longer does, or a representative of someone who is of age by now",
        ("PRV-15", "PRV-16"),
        ("forms", "minor"),
    ),
    Reason(
        "confidential_channel",
        "asked for another channel than e-mail",
        ("PRV-21",),
        ("confidential_channel", "minor"),
    ),
    Reason("no_address", "no e-mail address on file", ("PRV-23",)),
    Reason(
        "minor_without_representative",
        "under age or of unknown age, and nobody with a verified address signed for them",
        ("PRV-15", "PRV-16"),
        ("forms", "minor"),
    ),
    Reason(
        "representative_blocked",
        "under age, and whoever signed for them was blocked by staff",
        ("PRV-16",),
        ("forms", "minor"),
    ),
    Reason(
        "representative_limited",
        "under age, and whoever signed for them does not act for all of their care",
        ("PRV-15",),
        ("forms", "minor"),
    ),
    Reason("address_unverified", "the address was never confirmed", ("PRV-23",), ("verified_at",)),
    Reason(
        "address_bounced",
        "mail to the address came back, and it was not confirmed since",
        ("PRV-23",),
        ("bounced_at", "verified_at"),
    ),
    Reason(
        "sensitive_programme",
        "in a substance-use, HIV, psychiatric or similar programme, and no rule allows it",
        ("PRV-29", "PRV-32"),
        ("programmes",),
    ),
    Reason(
        "no_jurisdiction_rule",
        "in a sensitive category for which the patient's state has no reviewed rule",
        ("PRV-33",),
        ("programmes",),
    ),
    Reason(
        "sensitive_medicine",
        "the medicine's class is never named by e-mail",
        ("PRV-32",),
        ("medicine_class",),
    ),
    Reason(
        "sensitive_service_line",
        "the appointment's service line or place betrays a kind of care that is never told by"
        " e-mail",
        ("PRV-32",),
        ("service",),
    ),
    Reason(
        "address_suppressed",
        "a letter to the address came back for good, or several for a passing reason; until it is"
        " confirmed anew, the pause is over, or somebody lifts it",
        ("PRV-23", "EML-09"),
        origin="store",
    ),
    Reason(
        "complained",
        "called a letter of this purpose spam; until somebody lifts it",
        ("EML-10",),
        origin="store",
    ),
    Reason("already_written", "has a letter of this period", origin="store"),
    Reason(
        "frequency_cap",
        "has a letter of this campaign, or of another, within the campaign's caps",
        origin="store",
    ),
    Reason(
        "address_malformed",
        "the address is not plainly formed",
        ("PRV-23", "EML-02"),
        origin="row",
        contradiction=True,
    ),
    Reason(
        "field_unusable",
        "a declared field is empty or holds what no letter can show",
        ("EML-02",),
        origin="row",
        contradiction=True,
    ),
    *(
        Reason(code, means, ("EML-21", "EML-23"), origin="row", contradiction=contradiction)
        for code, means, contradiction in _CERTIFICATES
    ),
    Reason(
        "address_lost",
        "asked for another address, which the store has lost with a backup; ask them again",
        ("PRV-21", "SEC-08"),
        origin="store",
    ),
    Reason(
        "no_safe_way",
        "no certificate, no TLS that is guaranteed up to the recipient, and no portal",
        ("PRV-24", "EML-17"),
        origin="row",
    ),
)
"""Decided by `extract`."""

WITHHELD = (
    Reason(
        "address_changed", "the address on file is no longer the letter's", ("PRV-21", "PRV-23")
    ),
    Reason("appointment_changed", "the appointment was cancelled or moved"),
    Reason("future_appointment", "has booked an appointment since"),
    Reason("medication_changed", "the medicine's name or dosage is another by now", ("PRV-20",)),
    Reason("prescription_ended", "the prescription ended, or lapsed over 90 days ago", ("PRV-10",)),
    Reason("returned", "the patient has come back"),
    Reason("certificate_changed", "has another certificate by now, or none", ("EML-23",)),
    Reason(
        "seal_lapsed",
        "what its seal rests on is gone: the vendor's guarantee, REQUIRETLS, or the portal",
        ("PRV-24", "EML-17"),
        origin="store",
    ),
    Reason(
        "portal_factor_missing",
        "waits at the portal, and what the page would ask for is not on file",
        ("PRV-24",),
    ),
    Reason("ambiguous", "the warehouse tells of the patient or the letter's subject twice"),
    Reason("too_late", "past the instant after which the letter is of no use", origin="store"),
)
"""Decided by the last look, besides any of the above."""

SINCE = {
    "restriction": "restriction_since",
    "opted_out": "opted_out_since",
    "authorization_revoked": "authorization_revoked_since",
    "confidential_channel": "confidential_channel_since",
}
"""How a patient refuses, and the note that tells of it after a letter of the day was made."""

_THEN = "after a letter of the day was made: a later run notes it, and the last look decides"
NOTES = {
    "authorization_duplicate": "two forms of a purpose are in force; the newest counts",
    "time_zone_unknown": "the time zone does not exist; the practice's takes its place",
    "restriction_since": f"the practice agreed not to write, {_THEN}",
    "opted_out_since": f"opted out, {_THEN}",
    "authorization_revoked_since": f"revoked, {_THEN}",
    "confidential_channel_since": f"asked for another channel, {_THEN}",
}
"""What is odd about the data and stops nobody."""

CONTRADICTIONS = frozenset(reason.code for reason in EXCLUDED if reason.contradiction)
"""Codes that tell of data that cannot be right."""
