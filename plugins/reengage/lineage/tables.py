"""Tables: what the datasets of our own store hold, column by column.

A dataset is what one task writes for the next. Of what is sealed, the columns are those of the
content. Names of columns only; a test holds them against the migrations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """A column of a dataset."""

    name: str
    type: str
    description: str
    fields: tuple[Field, ...] = ()
    """What is within it."""


@dataclass(frozen=True)
class Table:
    """A dataset of the store."""

    description: str
    fields: tuple[Field, ...]
    phi: bool = True
    """Whether it tells anything of a patient, be it under a pseudonym."""
    table: str | None = None
    """The table that it lies in, where its columns are that table's."""


RUN = Table(
    "The run: what was counted, what the gate said, when it ended.",
    (
        Field("run_id", "uuid", "identity of the run"),
        Field("campaign_date", "date", "the day it plays"),
        Field("mode", "text", "live, dry or replay"),
        Field("campaign_sha256", "text", "digest of the campaign's content"),
        Field("vendor", "text", "who delivers"),
        Field("baa_id", "text", "the agreement in force"),
        Field("living", "bigint", "patients alive"),
        Field("inactive", "bigint", "patients who stopped coming"),
        Field("candidates", "bigint", "inactive and asked for"),
        Field("gate", "text", "green or red"),
        Field("verdicts", "jsonb", "suite, type, column, severity, success"),
        Field("finished_at", "timestamptz", "settled"),
        Field("shredded_at", "timestamptz", "data key destroyed"),
    ),
    phi=False,
    table="run",
)
DECISION = Table(
    "One decision per candidate and day, with every reason.",
    (
        Field("campaign_date", "date", "the day"),
        Field("run_id", "uuid", "the run that decided"),
        Field("patient", "text", "keyed pseudonym"),
        Field("reasons", "text[]", "all that apply; none = eligible"),
        Field("notes", "text[]", "what is odd and stops nobody"),
        Field("arm", "text", "write or holdout"),
        Field("sealed", "bytea", "the patient's key and the rows it rests on, sealed"),
    ),
    table="decision",
)
FOLLOWED = Table(
    "Follow-ups: whose arm was drawn, when, and the variant of the template.",
    (
        Field("patient", "text", "keyed pseudonym"),
        Field("period", "text", "keyed: what is written once in"),
        Field("campaign_date", "date", "the day on which the arm was drawn"),
        Field("arm", "text", "write or holdout"),
        Field("variant", "text", "of the campaign's template, where it has two"),
        Field("begins_at", "timestamptz", "when the arm was drawn"),
        Field("counts", "boolean", "the first of its patient in the campaign"),
    ),
    table="follow_up",
)
KNOWN = Table(
    "What the warehouse said of each follow-up, by the day on which it was known.",
    (
        Field("known_on", "date", "the day"),
        Field("returned_at", "timestamptz", "first visit after it began"),
        Field("booked_at", "timestamptz", "first booking made after it began"),
        Field("appointment_at", "timestamptz", "of that booking, or of the reminder"),
        Field("kept", "boolean", "whether a visit began on the appointment's day"),
        Field("died_on", "date", "date of death"),
    ),
    table="outcome",
)
REPORT = Table(
    "What analysts read: counts of patients by slice, arm and horizon; small ones are withheld.",
    (
        Field("campaign", "text", "slug"),
        Field("cohort", "int", "year in which the follow-ups began"),
        Field("as_of", "date", "the day reported on"),
        Field("enrolled", "bigint", "patients followed"),
        Field("mature", "bigint", "those whose horizon is over and told"),
        Field("returned", "bigint", "those of them who came back within it"),
    ),
    phi=False,
    table="report.outcome",
)
LETTER = (
    Field("letter_id", "uuid", "identity of the letter"),
    Field("patient", "text", "keyed pseudonym"),
    Field("period", "text", "keyed: what is written once in"),
    Field("campaign_date", "date", "the day it was decided"),
    Field("message_id", "text", "keyed hash"),
    Field("template_sha256", "text", "digest of the template"),
    Field("authorization_id", "text", "keyed: the form it rests on"),
    Field("seal", "text", "smime, tls or portal"),
    Field("seal_basis", "text", "certificate, requiretls, contract or link"),
    Field("expires_at", "timestamptz", "too late to send afterwards"),
    Field("checked_at", "timestamptz", "passed the check of finished letters"),
)
OUTBOX = Table(
    "What became of each letter.",
    (
        Field("letter_id", "uuid", "identity of the letter"),
        Field("patient", "text", "keyed pseudonym"),
        Field("campaign_date", "date", "the day it was decided"),
        Field("state", "text", "composed, claimed, attempted, sent, refused, deferred, ..."),
        Field("reason", "text", "why it was withheld, deferred or refused"),
        Field("evidence", "jsonb", "TLS version and cipher, peer, reply codes"),
        Field("final_reply", "bytea", "the relay's last words, sealed"),
        Field("settled_at", "timestamptz", "when that was known"),
    ),
    table="letter",
)
PORTAL = Table(
    "What letters left at the portal; its content until it expires.",
    (
        Field("message_id", "text", "random, in the letter's link"),
        Field("letter_id", "uuid", "identity of the letter"),
        Field("patient", "text", "keyed pseudonym"),
        Field("sealed", "bytea", "the letter, under the link's key and the portal's"),
        Field("expires_at", "timestamptz", "its content is gone afterwards"),
    ),
    table="portal_message",
)
DISCLOSURES = Table(
    "Disclosure records of the ledger: what each letter told whom, under which agreement.",
    (
        Field("letter", "uuid", "identity of the letter"),
        Field("patient", "text", "keyed pseudonym"),
        Field("recipient", "text", "keyed pseudonym of the address"),
        Field("fields", "text[]", "contract columns that were disclosed"),
        Field("authorization", "text", "keyed: the form it rests on"),
        Field("outcome", "text", "sent, refused, deferred, unknown or withheld"),
        Field("transport", "jsonb", "evidence of TLS and the relay's codes"),
    ),
)
SHARED: Mapping[str, Table] = {
    "opt_out": Table(
        "Opt-outs, whichever way they reached us.",
        (
            Field("patient", "text", "keyed pseudonym"),
            Field("campaign", "text", "slug; null = every campaign"),
            Field("channel", "text", "how it reached us"),
            Field("at", "timestamptz", "when"),
        ),
        table="opt_out",
    ),
    "revocation": Table(
        "Revocations of authorizations, kept beyond any restore.",
        (
            Field("patient", "text", "keyed pseudonym"),
            Field("purpose", "text", "email, marketing, part2; null = every purpose"),
            Field("revoked_at", "timestamptz", "ends all forms signed up to then"),
            Field("channel", "text", "how it reached us"),
            Field("source", "text", "patient or warehouse"),
        ),
        table="revocation",
    ),
    "suppression": Table(
        "Addresses that letters came back from, and patients who complained.",
        (
            Field("recipient", "text", "keyed pseudonym of the address; null = of a patient"),
            Field("patient", "text", "keyed pseudonym"),
            Field("purpose", "text", "of the campaigns that are suppressed for the patient"),
            Field("reason", "text", "why"),
            Field("at", "timestamptz", "since when"),
            Field("expires_at", "timestamptz", "when it ends by itself"),
            Field("lifted_at", "timestamptz", "when somebody ended it"),
        ),
        table="suppression",
    ),
}
"""Datasets that all campaigns share."""

AUDIENCE = (
    Field("asked", "bigint", "candidates"),
    Field("allowed", "bigint", "those with nothing against them"),
)
LETTER_FACTS = (
    Field("message_id", "text", "keyed hash"),
    Field("fields_declared", "boolean", "exactly the declared fields"),
    Field("undeclared_parts", "bigint", "parts that say more than the blank letter and its fields"),
    Field("header_faults", "bigint", "headers that data broke out of"),
    Field("foreign_headers", "bigint", "headers that the blank letter has not"),
    Field("addressed_right", "boolean", "To is the recipient"),
    Field("remote_fetches", "bigint", "what a client would fetch"),
    Field("tracking_links", "bigint", "links that tell who clicked"),
    Field("octets", "bigint", "size"),
    Field("longest_line", "bigint", "octets of the longest line"),
)
"""What the check of finished letters knows of each."""
