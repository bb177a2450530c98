"""The case table, first part: authorizations, and what patients refused."""

from __future__ import annotations

from datetime import timedelta

from eligibility import (
    APPOINTMENT,
    EDUCATION,
    INSTANT,
    LAST,
    MARKETING,
    MIDNIGHT,
    ONE_DAY,
    PAID,
    SIGNED,
    UNPAID,
    case,
)
from world import DAY, NOW

ELEMENTS = ("form_version", "information", "discloser", "recipient", "purpose_text")
NOTICES = ("notice_revocation", "notice_conditioning", "notice_redisclosure")
NEWER = {"authorization_key": "newer", "signed_at": NOW - timedelta(days=5)}
OLDER = {"authorization_key": "older", "signed_at": NOW - timedelta(days=2000)}
RESTRICTION = {"kind": "no outreach", "since": NOW - timedelta(days=9), "until": None}

ELEMENTS_AND_NOTICES = [
    case("nothing against it", "PRV-01"),
    case("no form", "PRV-01", "no_authorization", email=None),
    case("a form for another purpose only", "PRV-01", "no_authorization",
         campaigns=EDUCATION, email={"purpose": "research"}),
    case("signed at the day's last instant", "PRV-01", forms={"signed_at": LAST}),
    case("signed after the day", "PRV-01", "no_authorization", email={"signed_at": MIDNIGHT}),
    case("not signed", "PRV-01", "authorization_incomplete", email={"signed_at": None}),
    *[case(f"{part} is not on the form", "PRV-01", "authorization_incomplete", email={part: None})
      for part in ELEMENTS],
    *[case(f"{part} is empty", "PRV-01", "authorization_incomplete", email={part: ""})
      for part in ELEMENTS],
    case("an element of blanks", "PRV-01", "authorization_incomplete",
         email={"information": "  "}),
    case("neither last day nor event", "PRV-01", "authorization_incomplete",
         email={"expires_on": None, "expires_event": None}),
    case("an empty event", "PRV-01", "authorization_incomplete",
         email={"expires_on": None, "expires_event": " "}),
    case("a last day and no event", "PRV-01",
         email={"expires_on": DAY + ONE_DAY, "expires_event": None}),
    *[case(f"{part} is unknown", "PRV-02", "authorization_incomplete", email={part: None})
      for part in NOTICES],
    *[case(f"{part} is no", "PRV-02", "authorization_incomplete", email={part: False})
      for part in NOTICES],
    case("material content is false", "PRV-04", "authorization_false", email={"known_false": True}),
    case("known not to be false", "PRV-04", email={"known_false": False}),
]  # fmt: skip

ENDS = [
    case("expires today", "PRV-04", email={"expires_on": DAY, "expires_event": None}),
    case("expired yesterday", "PRV-04", "authorization_expired",
         email={"expires_on": DAY - ONE_DAY}),
    case("its event is known at the last instant", "PRV-04", "authorization_expired",
         email={"event_at": LAST}),
    case("its event comes tomorrow", "PRV-04", email={"event_at": MIDNIGHT}),
    case("revoked at the day's last instant", "PRV-06", "authorization_revoked",
         email={"revoked_at": LAST}),
    case("revoked after the day", "PRV-06", email={"revoked_at": MIDNIGHT}),
    case("revoked in the instant of signing", "PRV-06", "authorization_revoked",
         email={"revoked_at": SIGNED}),
    case("revoked before it was signed", "PRV-04", "authorization_contradictory",
         email={"revoked_at": SIGNED - INSTANT}),
    case("contradicts itself, another form does not", "PRV-04",
         email={"revoked_at": SIGNED - INSTANT}, more=[NEWER]),
    case("revoked, then signed anew", "PRV-06",
         email={"revoked_at": NEWER["signed_at"] - INSTANT}, more=[NEWER]),
    case("signed anew, and then the first was revoked", "PRV-06", "authorization_revoked",
         email={"revoked_at": NEWER["signed_at"]}, more=[NEWER]),
    case("revoking the newer ends the older", "PRV-06", "authorization_revoked",
         more=[{**NEWER, "revoked_at": NOW}]),
    case("revoking another purpose's form ends none of this", "PRV-06", campaigns=EDUCATION,
         marketing={"revoked_at": NOW}),
    case("a form of tomorrow, contradicted, says nothing today", "PRV-06",
         more=[{**NEWER, "signed_at": MIDNIGHT, "revoked_at": NOW}]),
    case("a newer form is at fault, an older one sound", "PRV-01",
         more=[{**NEWER, "recipient": None}]),
    case("two forms, each at fault", "PRV-01", "authorization_expired",
         email={"expires_on": DAY - ONE_DAY}, more=[{**OLDER, "recipient": None}]),
    case("two sound forms", "PRV-01", notes="authorization_duplicate", more=[NEWER]),
    case("two forms, one of them sound", "PRV-01", more=[{**OLDER, "recipient": None}]),
]  # fmt: skip

OF_MARKETING = [
    case("no form for marketing", "PRV-08", "no_authorization", campaigns=MARKETING,
         marketing=None),
    case("no form for marketing, which education needs not", "PRV-08", campaigns=EDUCATION,
         marketing=None),
    case("a form for marketing, and no opt-in", "PRV-08", "no_authorization", campaigns=MARKETING,
         email=None),
    case("marketing: revoked", "PRV-06", "authorization_revoked", campaigns=MARKETING,
         marketing={"revoked_at": LAST}),
    *[case(f"{part} is {said}", "PRV-05", "authorization_compound", campaigns=MARKETING,
           marketing={part: said})
      for part in ("compound", "conditioned") for said in (True, None)],
    case("an opt-in may be compound", "PRV-05", email={"compound": True, "conditioned": True}),
    case("paid, and the form does not say so", "PRV-08", "remuneration_unstated", campaigns=PAID,
         marketing={"remuneration_stated": False}),
    case("paid, and nobody knows whether it says so", "PRV-08", "remuneration_unstated",
         campaigns=PAID, marketing={"remuneration_stated": None}),
    case("not paid, so nothing to state", "PRV-08", campaigns=UNPAID,
         marketing={"remuneration_stated": False}),
    case("two purposes, each at fault", "PRV-01", "authorization_compound authorization_expired",
         campaigns=MARKETING, marketing={"compound": True},
         email={"expires_on": DAY - ONE_DAY}),
]  # fmt: skip

REFUSALS = [
    case("restricted", "PRV-22", "restriction", restriction=[RESTRICTION]),
    case("restricted from the last instant on", "PRV-22", "restriction",
         restriction=[{**RESTRICTION, "since": LAST}]),
    case("restricted from tomorrow on", "PRV-22", restriction=[{**RESTRICTION, "since": MIDNIGHT}]),
    case("restricted in the day's first instant", "PRV-22", "restriction",
         restriction=[{**RESTRICTION, "until": MIDNIGHT - ONE_DAY}]),
    case("no longer restricted", "PRV-22",
         restriction=[{**RESTRICTION, "until": LAST - ONE_DAY}]),
    case("restricted twice", "PRV-22", "restriction",
         restriction=[RESTRICTION, {**RESTRICTION, "kind": "no marketing"}]),
    case("opted out of everything", "EML-26", "opted_out",
         opt_out=[{"campaign": None, "at": LAST}]),
    case("opts out tomorrow", "EML-26", opt_out=[{"campaign": None, "at": MIDNIGHT}]),
    case("opted out of this campaign", "EML-26", "opted_out", campaigns=EDUCATION,
         opt_out=[{"campaign": EDUCATION, "at": NOW}]),
    case("opted out of this paid campaign", "EML-26", "opted_out", campaigns=PAID,
         opt_out=[{"campaign": PAID, "at": NOW}]),
    case("opted out of another campaign", "EML-26", opt_out=[{"campaign": APPOINTMENT, "at": NOW}]),
    case("opted out of a word that is no campaign", "EML-26", "opted_out",
         opt_out=[{"campaign": "newsletter", "at": NOW}]),
]  # fmt: skip

FORMS = [*ELEMENTS_AND_NOTICES, *ENDS, *OF_MARKETING, *REFUSALS]
