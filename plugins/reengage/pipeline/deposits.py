"""Deposits: what a letter leaves for its recipient, in the transaction that claims it.

A row holds the ciphertext that the link opens, sealed once more under the portal's key of the
keyring: neither the database nor the mailbox nor both without the keyring reveal a letter. A letter
that is never claimed leaves nothing. When its time is over the ciphertext and what answers are
compared with go; the row stays, with pseudonyms only, so that whoever finds the notice in their
mailbox later and says that it is not theirs is still heard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import Connection, text

from reengage.errors import ConfigurationError
from reengage.keys import Keyring
from reengage.opt_outs import link_digest, opt_out_token
from reengage.pipeline.run import Run
from reengage.sealing.factor import Factor, verifier

if TYPE_CHECKING:
    from reengage.pipeline.outbox import Queued


OPT_OUT_YEARS = 6
"""For how long the link of a letter opts out (EML-26 asks for 30 days at least)."""


def verifiers(
    run: Run, letters: Sequence[Queued], factors: Mapping[UUID, Factor]
) -> dict[UUID, bytes]:
    """What a right answer for each letter that waits at the portal is compared with.

    Some 30 ms each, so made before the transaction that claims them.
    """
    return {
        one.letter_id: verifier(
            factors[one.letter_id], one.letter.deposit[0], run.keyring.authenticator
        )
        for one in letters
        if one.letter.deposit is not None and one.letter_id in factors
    }


def leave(
    connection: Connection,
    run: Run,
    letters: Sequence[Queued],
    known: Mapping[UUID, bytes],
) -> None:
    """Leave what these letters are to be picked up by, and what their opt-out links lead to.

    `known` is what `verifiers` gave; a letter without one can be opened by nobody. A second claim
    begins a letter's time anew.
    """
    _leave_links(connection, run, letters)
    for one in letters:
        if one.letter.deposit is None:
            continue
        message_id, ciphertext = one.letter.deposit
        connection.execute(
            text(
                "INSERT INTO portal_message (message_id, letter_id, patient, sealed, expires_at,"
                " verifier, recipient, language)"
                " VALUES (:message_id, :letter_id, :patient, :sealed, :expires_at,"
                " :verifier, :recipient, :language)"
                " ON CONFLICT (letter_id) DO UPDATE SET sealed = excluded.sealed,"
                " left_at = excluded.left_at, expires_at = excluded.expires_at,"
                " verifier = excluded.verifier, recipient = excluded.recipient"
            ),
            {
                "message_id": message_id,
                "letter_id": one.letter_id,
                "patient": run.pseudonym(one.letter.patient_key),
                "sealed": seal_deposit(run.keyring, message_id, ciphertext),
                "expires_at": _expires(run),
                "verifier": known.get(one.letter_id),
                "recipient": one.recipient,
                "language": one.letter.language,
            },
        )


def _leave_links(connection: Connection, run: Run, letters: Sequence[Queued]) -> None:
    """Bound to patient and campaign; the database knows their digests, and opens none of them."""
    if not letters:
        return
    connection.execute(
        text(
            "INSERT INTO opt_out_link (token, patient, campaign, valid_until)"
            " SELECT token, patient, CAST(:campaign AS text), CAST(:valid_until AS timestamptz)"
            " FROM unnest(CAST(:tokens AS bytea[]), CAST(:patients AS text[]))"
            " AS one (token, patient)"
            " ON CONFLICT (token) DO UPDATE SET valid_until = excluded.valid_until"
        ),
        {
            "campaign": run.campaign.slug,
            "valid_until": run.settings.now() + timedelta(days=366 * OPT_OUT_YEARS),
            "tokens": [link_digest(opt_out_token(run.keyring, one.identity)) for one in letters],
            "patients": [run.pseudonym(one.letter.patient_key) for one in letters],
        },
    )


def by_key(connection: Connection) -> dict[int, int]:
    """How many letters wait under each number of the portal's key, which their octets name."""
    found = connection.execute(
        text(
            "SELECT get_byte(sealed, 1) * 256 + get_byte(sealed, 2) AS number, count(*) AS letters"
            " FROM portal_message GROUP BY 1"
        )
    )
    return {row.number: row.letters for row in found}


def remove_expired(connection: Connection, now: datetime) -> int:
    """Remove what was left for longer than it is kept; gives how many letters lost their content.

    Nobody can open or try one of them after that. Its row goes with the links, years later.
    """
    connection.execute(text("DELETE FROM opt_out_link WHERE valid_until <= :now"), {"now": now})
    connection.execute(
        text("DELETE FROM portal_message WHERE expires_at <= :since AND sealed = ''"),
        {"since": now - timedelta(days=366 * OPT_OUT_YEARS)},
    )
    return connection.execute(
        text(
            "UPDATE portal_message SET sealed = '', verifier = NULL"
            " WHERE expires_at <= :now AND sealed <> ''"
        ),
        {"now": now},
    ).rowcount


def remove(connection: Connection, letters: Sequence[UUID]) -> None:
    """Remove what these letters left, whose links reached nobody."""
    if letters:
        connection.execute(
            text("DELETE FROM portal_message WHERE letter_id = ANY(CAST(:ids AS uuid[]))"),
            {"ids": list(letters)},
        )


def seal_deposit(keyring: Keyring, message_id: str, ciphertext: bytes) -> bytes:
    """The ciphertext as the row has it."""
    return keyring.purpose_key("portal").seal(ciphertext, bound_to=message_id)


def open_deposit(keyring: Keyring, message_id: str, sealed: bytes) -> bytes:
    """What the link opens. Raises KeyringError when altered, or its key was destroyed."""
    return keyring.purpose_key("portal").open(sealed, bound_to=message_id)


def _expires(run: Run) -> datetime:
    portal = run.practice.portal
    if portal is None:
        raise ConfigurationError(
            "a letter is to be left at a portal, and practice.yaml names none; restore `portal`"
        )
    return run.settings.now() + timedelta(days=portal.valid_days)
