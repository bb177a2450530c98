"""Judge: the relay's own record against the outbox, the ledger and the portal, letter by letter.

duplicates   a letter that the relay took twice, or that was offered again although it may have
             been delivered
lost         a letter that is not there any more, is called sent and was never taken, or is still
             open when all is calm, unless it waits: for its next try after the round's end, or for
             the campaign's next run, where nobody answered on the day on which this one paused
unknown      genuine only: the relay kept back its word, or a try was interrupted with this
             letter in its hands; at most one for each connection and interruption
told         the reply that is recorded of a letter is the one that was given for it
limits       no connection had more letters than its relay takes
recorded     the ledger verifies, the outbox agrees with it, portal rows are where they belong
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from reengage.keys import Keyring, open_keyring
from reengage.ledger.checkpoints import Checkpoints
from reengage.ledger.outbox import check_outbox
from reengage.ledger.signers import verifiers
from reengage.ledger.verify import verify
from reengage.pipeline.addressed import Addressed
from reengage.pipeline.composing import identity_of
from reengage.pipeline.settle import settle
from simulators.lot import Transaction

from chaos.causes import causes_of_unknown
from chaos.plan import END, NOW
from chaos.round import OPEN, Played
from chaos.site import LETTERS

ENDS = {"done", "stopped", "died", "RelayBusyError", "RelayConnectError", "RelayError",
        "StoreError", "ClaimLostError", "DBAPIError"}  # fmt: skip
"""How a try may end on a day like this one."""


def judge(played: Played) -> list[str]:
    """What is wrong, in a line each."""
    keyring = played.run.keyring
    addresses = {played.run.pseudonym(f"p{n}"): f"p{n}@example.org" for n in range(LETTERS)}
    wrong = [f"{one} ended as nobody foresaw" for one in played.tries if not _foreseen(one)]
    wrong += _all_there(played, set(addresses))
    left_its_place = _left_their_place(played)
    for letter in played.letters:
        rcpt = addresses.get(letter["patient"], "")
        theirs = [t for t in played.transactions if t.rcpt == rcpt and t.began]
        if letter["letter_id"] in left_its_place:
            theirs = []
        name = f"letter {letter['letter_id']} to {rcpt}, {letter['state']} ({letter['reason']}):"
        wrong += [f"{name} {what}" for what in _of_a_letter(played, letter, rcpt, theirs)]
    wrong += causes_of_unknown(played, addresses).wrong
    wrong += _limits(played)
    wrong += _recorded(played, keyring)
    return wrong


def _limits(played: Played) -> Iterator[str]:
    """What the relay takes over one connection, where its vendor's entry says so."""
    most = played.plan.rate.get("letters_per_connection")
    had = Counter((one.tag, one.connection) for one in played.transactions if one.began)
    for (tag, connection), letters in had.items():
        if most is not None and letters > most:
            yield f"connection {connection} of try {tag}: {letters} letters, {most:.0f} are allowed"


def _foreseen(one: Any) -> bool:
    failed = [what for what in one.befell if what.startswith(("hang", "the test itself"))]
    return one.ended[0] in ENDS and not failed


def _all_there(played: Played, patients: set[str]) -> Iterator[str]:
    found = {letter["patient"] for letter in played.letters}
    yield from (f"a letter is lost: {patient}" for patient in patients - found)
    places = Counter(
        letter["patient"] for letter in played.letters if letter["state"] != "withheld"
    )
    yield from (f"{n} letters of {patient}" for patient, n in places.items() if n > 1)


def _left_their_place(played: Played) -> set[Any]:
    """Withheld letters in whose place another was composed since."""
    standing = {one["patient"] for one in played.letters if one["state"] != "withheld"}
    return {
        letter["letter_id"]
        for letter in played.letters
        if letter["state"] == "withheld" and letter["patient"] in standing
    }


def _is_for_later(played: Played, letter: dict[str, Any]) -> bool:
    """Whether a relay put it off until after the round's last task, or the run was stopped."""
    planned = letter["next_try_at"]
    put_off = planned is not None and planned > END
    return letter["state"] == "deferred" and (put_off or played.stopped)


def _of_a_letter(
    played: Played, letter: dict[str, Any], rcpt: str, theirs: list[Transaction]
) -> Iterator[str]:
    state, taken = letter["state"], [t for t in theirs if t.taken]
    if len(taken) > 1:
        yield f"taken {len(taken)} times"
    for number, one in enumerate(theirs[:-1]):
        if one.whole and (one.answer is None or one.answer < 400):
            yield f"offered again ({len(theirs) - number - 1} times) though it may have arrived"
    if state in OPEN and not _is_for_later(played, letter):
        yield "still open when all is calm"
    if state == "sent":
        told = (letter["evidence"] or {}).get("queue_id")
        if not taken:
            yield "never taken"
        elif told != taken[0].queue_id:
            yield f"its evidence is {told}, the relay's word was {taken[0].queue_id}"
    elif state != "unknown" and taken:
        yield "taken, and nobody owns up to it"
    if state == "refused":
        yield from _refusal(played, letter, rcpt)
    if state == "withheld" and (letter["reason"] != "too_late" or not _late(played, letter)):
        yield "withheld without cause"
    for one in theirs:
        if one.whole:
            yield from _content(played, letter, one)


def _refusal(played: Played, letter: dict[str, Any], rcpt: str) -> Iterator[str]:
    told = (letter["evidence"] or {}).get("enhanced_code")
    chunk = {one.tag for one in played.tries if one.chunk == letter["chunk"]}
    codes = {
        code
        for t in played.transactions
        for code in t.codes
        if t.rcpt == rcpt or (not t.rcpt and t.tag in chunk)
    }
    if told not in codes or not told.startswith("5"):
        yield f"its evidence is {told}, the relay's words were {sorted(codes)}"


def _late(played: Played, letter: dict[str, Any]) -> bool:
    return any(
        NOW + one.clock >= letter["expires_at"] and one.chunk == letter["chunk"]
        for one in played.tries
    )


def _content(played: Played, letter: dict[str, Any], one: Transaction) -> Iterator[str]:
    """Whole means whole, and it is this patient's letter."""
    if one.message_id != letter["message_id"]:
        yield f"the relay got {one.message_id} for it"
    sealed = [_opened(played, row) for row in played.letters if row["patient"] == letter["patient"]]
    if one.content.splitlines() not in [message.splitlines() for message in sealed]:
        yield "the relay got other octets than were sealed"


def _opened(played: Played, letter: dict[str, Any]) -> bytes:
    identity = identity_of(letter["campaign"], letter["patient"], letter["period"])
    sealed = played.run.data_key.open(letter["sealed"], bound_to=f"letter/{identity}")
    return Addressed.from_bytes(sealed).message


def _recorded(played: Played, keyring: Keyring) -> Iterator[str]:
    try:
        settle(played.run)
    except Exception as error:
        yield f"settle: {type(error).__name__}: {error}"
    checkpoints = Checkpoints(str(keyring.directory / "checkpoints"))
    with played.run.store.connect() as connection:
        verdict = verify(
            connection,
            keys=verifiers(keyring.directory),
            checkpoints=checkpoints,
            keyring=open_keyring(keyring.directory),
        )
        yield from (f"the ledger: {finding}" for finding in verdict.findings)
    with played.run.store.connect() as connection:
        findings = check_outbox(connection, played.run.settings.home)
        yield from (f"the outbox and the ledger: {finding}" for finding in findings)
    yield from _disclosures(played)
    yield from _portal(played)


def _disclosures(played: Played) -> Iterator[str]:
    said: dict[str, list[str]] = {}
    for row in played.practice.rows(
        "SELECT said #>> '{body,letter}' AS letter, said #>> '{body,outcome}' AS outcome FROM ("
        " SELECT index, CAST(convert_from(entry, 'UTF8') AS jsonb) AS said FROM ledger_entry"
        " WHERE kind = 'disclosure') AS e ORDER BY index"
    ):
        said.setdefault(str(row["letter"]), []).append(str(row["outcome"]))
    for letter in played.letters:
        outcomes = said.get(str(letter["letter_id"]), [])
        if not outcomes and played.stopped and letter["state"] == "deferred":
            continue  # no relay has heard of it
        if outcomes[-1:] != [letter["state"]]:
            yield f"letter {letter['letter_id']} is {letter['state']}, its records say {outcomes}"
        if set(outcomes[:-1]) - {"deferred"}:
            yield f"letter {letter['letter_id']} has records after its last: {outcomes}"


def _portal(played: Played) -> Iterator[str]:
    there = {
        row["letter_id"] for row in played.practice.rows("SELECT letter_id FROM portal_message")
    }
    for letter in played.letters:
        has = letter["letter_id"] in there
        if letter["seal"] == "portal" and letter["state"] in ("sent", "unknown") and not has:
            yield f"letter {letter['letter_id']} is {letter['state']}, and nothing waits for it"
        if has and (letter["seal"] != "portal" or letter["state"] == "refused"):
            yield f"letter {letter['letter_id']} is {letter['state']} and left something there"
