"""The case table, second part: who may sign, who acts for a minor, and when one comes of age."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from eligibility import (
    ADULT,
    BY_PARENT,
    CHICAGO,
    EDUCATION,
    INSTANT,
    LAST,
    MARKETING,
    MIDNIGHT,
    MINOR,
    PARENT,
    SIGNED,
    Case,
    case,
)
from eligibility_forms import NEWER, OLDER
from world import NOW

LEAP_18 = datetime(2022, 3, 1, tzinfo=CHICAGO)
IN_LEAP_YEAR = datetime(2024, 3, 1, tzinfo=CHICAGO)
BIRTHDAY = datetime(2025, 6, 2, tzinfo=CHICAGO)
OTHER = {"email": "a@example.org"}
LIMITED = {"limited_by": "law_or_court"}
BY_OTHER = {"representative_key": "parent1"}
CHILD = {"patient": MINOR, "forms": BY_PARENT}


def of_child(name: str, rules: str, reasons: str = "", **rows: Any) -> Case:
    """17, with a form that is sound where the parent on file may sign."""
    return case(name, rules, reasons, **{**CHILD, "representative": [PARENT], **rows})


def parents(*changes: dict[str, Any]) -> list[dict[str, Any]]:
    """The parent who signed, then others."""
    return [
        {**PARENT, "representative_key": "parent" if number == 0 else f"parent{number}", **change}
        for number, change in enumerate(changes)
    ]


SIGNERS = [
    case("17, a parent signed", "PRV-15", patient=MINOR, forms=BY_PARENT, representative=[PARENT]),
    case("17, signed alone", "PRV-16", "authorization_signer minor_without_representative",
         patient=MINOR, representative=[PARENT]),
    case("17, signed by nobody on file", "PRV-15",
         "authorization_incomplete minor_without_representative", patient=MINOR,
         forms={"representative_key": "stranger"}, representative=[PARENT]),
    case("17, signed by a parent of another patient", "PRV-15",
         "authorization_incomplete minor_without_representative", patient=MINOR, forms=BY_PARENT,
         representative=[{**PARENT, "representative_key": "other parent"}]),
    case("17, signed by a parent who is blocked by now", "PRV-16",
         "authorization_signer representative_blocked", patient=MINOR, forms=BY_PARENT,
         representative=[{**PARENT, "blocked": True},
                         {**PARENT, "representative_key": "other", "email": "o@example.org"}]),
    case("17, whoever signed is blocked or not, nobody knows", "PRV-16",
         "authorization_signer representative_blocked", patient=MINOR, forms=BY_PARENT,
         representative=[{**PARENT, "blocked": None}, {**PARENT, "representative_key": "other"}]),
    case("17, the authority of who signed is not on file", "PRV-01", "authorization_incomplete",
         patient=MINOR, forms=BY_PARENT, representative=[{**PARENT, "authority": " "}]),
    case("18 today, signed at 15 alone", "PRV-16", "authorization_signer",
         patient=ADULT, email={"signed_at": SIGNED}, marketing={"signed_at": NOW}),
    case("18 today, signed at 15 by a parent", "PRV-16", "authorization_signer",
         patient=ADULT, marketing={"signed_at": NOW}, email=BY_PARENT, representative=[PARENT]),
    case("18 today, signed today", "PRV-16", patient=ADULT, forms={"signed_at": BIRTHDAY}),
    case("18 today, signed in the last instant of being 17", "PRV-16", "authorization_signer",
         patient=ADULT, forms={"signed_at": BIRTHDAY - INSTANT}),
    case("18 today, a parent signed today", "PRV-16", "authorization_signer", patient=ADULT,
         forms={"signed_at": NOW, **BY_PARENT}, representative=[PARENT]),
    case("of age for long, somebody else signed", "PRV-15", "authorization_signer",
         email=BY_PARENT, representative=[PARENT]),
    *[case(f"of age for long, signed by somebody who is {word}", "PRV-15", "authorization_signer",
           email=BY_PARENT, representative=[{**PARENT, **change}])
      for word, change in (("blocked", {"blocked": True}),
                           ("limited", {"limited_by": "law_or_court"}))],
    *[case(f"born {born}, signed {when}", "PRV-16", reasons, patient={"birth_date": born},
           forms={"signed_at": at})
      for born, when, at, reasons in (
        # A year without the day of birth has it on 1 March; one with it has no other.
        (date(2004, 2, 29), "on 28 February at 18", LEAP_18 - INSTANT, "authorization_signer"),
        (date(2004, 2, 29), "on 1 March at 18", LEAP_18, ""),
        (date(2006, 3, 1), "on 29 February before turning 18", IN_LEAP_YEAR - INSTANT,
         "authorization_signer"),
        (date(2006, 3, 1), "on 1 March, turning 18", IN_LEAP_YEAR, ""))],
]  # fmt: skip

MINORS = [
    case("18 today, a blocked parent counts no longer", "PRV-16", patient=ADULT,
         forms={"signed_at": NOW}, representative=[{**PARENT, "blocked": True}]),
    case("17, nobody acts for them", "PRV-15",
         "authorization_incomplete minor_without_representative", **CHILD),
    of_child("17, own address never confirmed: the parent's counts", "PRV-15",
             contact={"verified_at": None}),
    of_child("17, no contact of their own", "PRV-15", contact=None),
    of_child("17, mail to their own address came back", "PRV-23", contact={"bounced_at": NOW}),
    of_child("17, the parent is blocked", "PRV-16",
             "authorization_signer representative_blocked",
             representative=parents({"blocked": True})),
    of_child("17, blocked or not, nobody knows", "PRV-16",
             "authorization_signer representative_blocked",
             representative=parents({"blocked": None})),
    of_child("17, the other parent is blocked", "PRV-16",
             representative=parents({}, {"blocked": True, "email": "a@example.org"})),
    of_child("17, the one with an address is blocked", "PRV-16", "minor_without_representative",
             representative=parents({"email": None}, {"blocked": True})),
    of_child("17, the one with an address is blocked or not, nobody knows", "PRV-16",
             "minor_without_representative",
             representative=parents({"email": None}, {"blocked": None})),
    *[of_child(f"17, the parent's part is limited: {why}", "PRV-15",
               "authorization_signer representative_limited",
               representative=parents({"limited_by": why}))
      for why in ("minor_consented", "law_or_court", "confidentiality_agreed")],
    of_child("17, one parent is limited, the other blocked", "PRV-15",
             "authorization_signer representative_limited",
             representative=parents(LIMITED, {"blocked": True})),
    of_child("17, the parent who signed is limited, the other acts for all", "PRV-15",
             "authorization_signer representative_limited", representative=parents(LIMITED, OTHER)),
    of_child("17, the other parent is limited", "PRV-15",
             representative=parents({}, {**OTHER, **LIMITED})),
    of_child("17, the other parent acts for all, too", "PRV-15",
             representative=parents({}, OTHER)),
    of_child("17, only the other parent, who did not sign, has an address", "PRV-15",
             "minor_without_representative", representative=parents({"email": None}, OTHER)),
    of_child("17, a limited parent signed, then the other", "PRV-15", campaigns=EDUCATION,
             representative=parents(LIMITED, OTHER), more=[{**NEWER, **BY_OTHER}]),
    of_child("17, a parent signed, then a limited one", "PRV-15",
             representative=parents({}, {**OTHER, **LIMITED}), more=[{**NEWER, **BY_OTHER}]),
    of_child("17, each parent signed, the newest counts", "PRV-15", notes="authorization_duplicate",
             representative=parents({}, OTHER), more=[{**NEWER, **BY_OTHER}]),
    of_child("17, each parent signed, the older form is no other", "PRV-15",
             notes="authorization_duplicate",
             representative=parents({}, OTHER), more=[{**OLDER, **BY_OTHER}]),
    of_child("17, each parent signed, the newest has no confirmed address", "PRV-15",
             "minor_without_representative", notes="authorization_duplicate",
             representative=parents({}, {**OTHER, "verified_at": None}),
             more=[{**NEWER, **BY_OTHER}]),
    of_child("17, each parent signed for one purpose", "PRV-15", campaigns=MARKETING,
             representative=parents({}, OTHER), marketing=BY_OTHER),
    *[of_child(f"17, signed for marketing by one who is {word}", "PRV-15", "authorization_signer",
               campaigns=MARKETING, representative=parents({}, {**OTHER, **change}),
               marketing=BY_OTHER)
      for word, change in (("blocked", {"blocked": True}), ("limited", LIMITED))],
    of_child("17, the parent's address was never confirmed", "PRV-23",
             "minor_without_representative", representative=parents({"verified_at": None})),
    of_child("17, the parent's address is confirmed at the last instant", "PRV-23",
             representative=parents({"verified_at": LAST})),
    of_child("17, the parent's address is confirmed tomorrow", "PRV-23",
             "minor_without_representative", representative=parents({"verified_at": MIDNIGHT})),
    of_child("17, the parent has no address", "PRV-23", "minor_without_representative",
             representative=parents({"email": None})),
    case("of unknown age, signed alone", "PRV-16",
         "authorization_signer minor_without_representative", patient={"birth_date": None}),
    of_child("of unknown age, a parent acts", "PRV-16", patient={"birth_date": None}),
]  # fmt: skip
