"""Consent as rows: forms, refusals and restrictions, history kept.

A form is a Consent that permits, of a category of ours or of HL7's for marketing and 42 CFR Part 2.
Elements of 45 CFR 164.508 that R4 has no place for come from extensions; an absent one stays null,
which makes the form incomplete. What denies is never passed over, what permits must say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from reengage.sources.fhir_element import Element
from reengage.sources.fhir_labels import ACT_CODE

Row = list[Any]

CATEGORY = "https://reengage.example.org/fhir/CodeSystem/consent-purpose"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
PURPOSES = {
    (CATEGORY, "email"): "email",
    (CATEGORY, "marketing"): "marketing",
    (CATEGORY, "part2"): "part2",
    (ACT_REASON, "HMARKT"): "marketing",
    (ACT_CODE, "42CFRPart2"): "part2",
    (ACT_CODE, "42CFRPart2CD"): "part2",
}
STATUSES = ("draft", "proposed", "active", "rejected", "inactive", "entered-in-error")
NOTHING_SAID = ("draft", "proposed", "entered-in-error")
TYPES = ("permit", "deny")
COLUMNS = ("purpose", "kind_text", "form_version", "information", "discloser", "recipient",
           "purpose_text", "expires_on", "expires_event", "event_at", "signed_at",
           "representative", "revoked_at")  # fmt: skip
FLAGS = ("notice-revocation", "notice-conditioning", "notice-redisclosure", "compound",
         "conditioned", "remuneration-stated", "known-false")  # fmt: skip
"""Columns of table `consents`; the flags are extensions called `consent-...`."""
OPT_IN, OPT_OUT = {"OPTIN", "OPTINR"}, {"OPTOUT", "OPTOUTE"}


def consent_rows(resource: Element, today: date) -> Iterator[Row]:
    """Rows of table `consents`, of kind `form`, `refusal`, `opt_out` or `restriction`."""
    status = resource.code("status", STATUSES)
    if status in NOTHING_SAID:
        return
    purposes, denies, permits = _purposes(resource), _denies(resource), _permits(resource)
    if not purposes:
        # Of whatever scope: what is denied may be the very letters that are ours.
        if denies and status == "active":
            yield _row(resource, "restriction", kind_text="consent directive")
        return
    for purpose in purposes:
        if denies or status == "rejected":
            yield from _refusal(resource, purpose, status)
        elif permits:
            yield _form(resource, purpose, status, today)
            if status == "active" and _excepts(resource):
                yield _row(resource, "restriction", kind_text="consent with exceptions")


def _refusal(resource: Element, purpose: str, status: str | None) -> Iterator[Row]:
    """A no: ends its purpose's forms signed before it; an active one to e-mail, all letters."""
    if status == "inactive":
        return  # a no that was taken back; a yes needs a form of its own
    # One without a date gets it from 3_derived.sql, by what the whole export knows.
    at = resource.instant("dateTime")
    yield _row(resource, "refusal", purpose=purpose, signed_at=at, revoked_at=at)
    if purpose == "email" and status == "active":
        yield _row(resource, "opt_out")


def _form(resource: Element, purpose: str, status: str | None, today: date) -> Row:
    signed_at = resource.instant("dateTime")
    representative, signed = _signer(resource)
    provision = resource.one("provision")
    expires_on = provision.one("period").day("end")
    revoked_at = resource.extended_instant("consent-revoked")
    expired = expires_on is not None and expires_on < today
    if status == "inactive" and revoked_at is None and not expired:
        # Ended on a day that is not known: it counts for this form from its signature on, and does
        # not touch a newer one, as a revocation received later would.
        revoked_at = _said_at(resource)
    return _row(
        resource, "form",
        purpose=purpose,
        form_version=_version(resource),
        information=_said(resource, "information", provision.each("code")),
        discloser=resource.extended_text("consent-discloser")
        or next((w for o in resource.each("organization") if (w := o.text("display"))), None),
        recipient=resource.extended_text("consent-recipient") or _recipient(provision),
        purpose_text=_said(resource, "purpose", provision.each("purpose")),
        expires_on=expires_on,
        expires_event=resource.extended_text("consent-expires-event"),
        event_at=resource.extended_instant("consent-event-at"),
        signed_at=signed_at if signed else None,
        representative=representative,
        revoked_at=revoked_at,
    )  # fmt: skip


def _row(resource: Element, kind: str, **said: object) -> Row:
    until = resource.one("provision").one("period").instant("end")
    flags = [resource.extended_flag(f"consent-{flag}") for flag in FLAGS]
    columns = [said.get(column) for column in COLUMNS]
    return [
        resource.text("id"),
        _patient(resource),
        kind,
        _said_at(resource),
        until,
        *columns,
        *flags,
    ]


def _patient(resource: Element) -> str:
    patient = resource.reference("patient", "Patient")
    if patient is None:
        raise resource.fault("patient", "no reference to a Patient; give one")
    return patient


def _said_at(resource: Element) -> str:
    """When it was said; what has no date held from the beginning."""
    return resource.instant("dateTime") or "1850-01-01T00:00:00Z"


def _purposes(resource: Element) -> list[str]:
    codings = [coding for concept in resource.each("category") for coding in concept.each("coding")]
    codings += resource.one("provision").each("purpose")
    found = (PURPOSES.get((c.text("system") or "", c.text("code") or "")) for c in codings)
    return list(dict.fromkeys(purpose for purpose in found if purpose))


def _rules(resource: Element) -> set[str]:
    codings = resource.one("policyRule").each("coding")
    return {coding.text("code") or "" for coding in codings if coding.text("system") == ACT_CODE}


def _denies(resource: Element) -> bool:
    said = resource.one("provision").code("type", TYPES)
    return said == "deny" or bool(_rules(resource) & OPT_OUT)


def _permits(resource: Element) -> bool:
    said = resource.one("provision").code("type", TYPES)
    return said == "permit" or bool(_rules(resource) & OPT_IN)


def _excepts(resource: Element) -> bool:
    """Whether there are exceptions to the permission. What they are of is not read."""
    nested = any(True for _ in resource.one("provision").each("provision"))
    return nested or "OPTINR" in _rules(resource)


def _version(resource: Element) -> str | None:
    """The form: the address of its policy, else the rule's words or code."""
    rule = resource.one("policyRule")
    named = [policy.text("uri") for policy in resource.each("policy")]
    named += [rule.text("text")]
    named += [c.text("code") for c in rule.each("coding") if c.text("system") != ACT_CODE]
    return next((name for name in named if name), None)


def _signer(resource: Element) -> tuple[str | None, bool]:
    """The representative who signed, and whether anybody did who could."""
    patient = _patient(resource)
    for performer in resource.each("performer"):
        holder = Element({"performer": performer.content}, *_place(performer))
        if representative := holder.reference("performer", "RelatedPerson"):
            return representative, True
        if (signer := holder.reference("performer", "Patient")) is not None:
            if signer != patient:
                raise performer.fault("reference", "another patient than the consent is of")
            return None, True
    return None, False


def _place(element: Element) -> tuple[str, int, str]:
    return element.file, element.line, element.path


def _recipient(provision: Element) -> str | None:
    """Who may receive, of the provision's actors with the role IRCP."""
    for actor in provision.each("actor"):
        roles = {coding.text("code") for coding in actor.one("role").each("coding")}
        if "IRCP" in roles and (words := actor.one("reference").text("display")):
            return words
    return None


def _said(resource: Element, name: str, elements: Iterator[Element]) -> str | None:
    """Our extension's words, else those of the provision's own elements."""
    said = resource.extended_text(f"consent-{name}")
    if said:
        return said
    words = []
    for element in elements:
        displays = [coding.text("display") for coding in element.each("coding")]
        words.append(element.text("text"))
        words += displays or [element.text("display")]
    return ", ".join(dict.fromkeys(word for word in words if word)) or None
