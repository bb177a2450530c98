"""A day's mailing: composition, outbox, ledger and TLS to a sink, beside others that only send.

LETTERS letters (50,000) are composed (`write_letters`) and sent (`send`) by SENDERS processes (4),
each chunk as Airflow would map it, durability as it is shipped. Others send to the same sink over
as many connections, without ledger or outbox. Half of `smtplib` resending one prebuilt message is
the target. Then the same mailing once more with one worker killed in its middle and tried again,
and RelayConnection alone. LETTERS=500000 shows that memory stays flat.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

from harness import Figure, at_least, at_most, beside, publish
from mailing import EARLY_LETTERS, Mailing, Worked, planned
from reengage.embedded.certificates import Certificates, ensure_certificates
from reengage.keys.identity import new_dkim_key
from reengage.relay import RelayUrl, open_relay
from reengage.settings import HOME
from reengage.vendors import load_vendors
from rivals import FROM, TO, Place, bare, by_hook, by_nodemailer, by_smtplib
from sink import OFFERS, Sink
from warehouse import DAY

LETTERS = int(os.environ.get("LETTERS", "50000"))
SENDERS = int(os.environ.get("SENDERS", "4"))
COPIED_LETTERS = 200_000
"""Up to so many the mailing is sent by copies of its store, the second with a worker killed. More
are sent once, where they were composed: 500,000 take 14 GB."""
SMTPLIB_LETTERS = min(LETTERS, 50_000)
OTHERS_LETTERS = min(LETTERS, 20_000)
HOOK_LETTERS = 500
"""Enough for a rate: a connection for each takes its time."""
ALONE_LETTERS = 5_000
PREBUILT_OCTETS = 15_000
LEAST_OF_SMTPLIB = 0.5
MOST_MICROSECONDS = 150
MOST_GROWTH = 1.2
MOST_AFTER_A_KILL = 1.1


def main() -> int:
    """Measure and publish."""
    figures: list[Figure] = []
    with TemporaryDirectory(prefix="reengage-bench-") as scratch:
        base = Path(scratch)
        certificates = ensure_certificates(base / "certificates")
        with (
            Sink(certificates) as sink,
            planned(base, LETTERS, certificates.ca, sink.port) as mailing,
        ):
            written = mailing.work("write_letters", SENDERS)
            mailing.pass_checks()
            message, octets = mailing.sizes()
            place = Place(sink.port, certificates.ca, SENDERS, message)
            before = by_smtplib(place, SMTPLIB_LETTERS)
            sent, used = _sent(mailing, sink)
            killed = None
            if LETTERS <= COPIED_LETTERS:
                killed, _ = _sent(mailing, sink, kill_at=LETTERS // 2)
            after = by_smtplib(place, SMTPLIB_LETTERS)
            smtplib = (before.rate + after.rate) / 2
            figures += _mailing(written, sent, smtplib)
            figures += _processor(written, sent, (before.microseconds + after.microseconds) / 2)
            figures += _others(place, base, smtplib, LETTERS / sent.seconds)
            whole = LETTERS / (written.seconds + sent.seconds)
            figures += _nodemailer(place, base, LETTERS / sent.seconds, whole)
            figures += _killed(sent, killed) if killed else []
            figures.append(
                at_most("the sink's share of a letter", used / LETTERS * 1e6, "µs",
                        baseline=None, target=None)
            )  # fmt: skip
        figures += _alone(certificates)
    note = (
        f"{LETTERS:,} letters of {octets:,.0f} octets on average, {SENDERS} senders, once; the"
        f" others resend one of {len(message):,}.\n"
        "baseline of our own: smtplib, before and after; of the others: ours, sending only;\n"
        "of nodemailer where it composes each: ours, composed and sent.\n"
        "not in it: Airflow's start of a task, the check of letters. A retry begins after the"
        " longest delay that it may have, 6 s.\n"
        "PostgreSQL as the embedded default sets it, fsync on"
    )
    return publish("send", note, figures)


def _sent(mailing: Mailing, sink: Sink, *, kill_at: int | None = None) -> tuple[Worked, float]:
    """The mailing, by a copy of its store; ends the benchmark where a letter is lost or doubled."""
    sink.forget()
    one = mailing.copy(sink.port) if LETTERS <= COPIED_LETTERS else mailing
    worked = one.work("send", SENDERS, progress=sink.letters, kill_at=kill_at)
    states, taken, used = one.states(), sink.letters(), sink.seconds()
    if one is not mailing:
        one.drop()
    doubtful = states.pop("unknown", 0)
    if set(states) != {"sent"} or states["sent"] + doubtful != LETTERS:
        sys.exit(f"letters were lost: {states}, {doubtful} unknown")
    if not states["sent"] <= taken <= LETTERS or doubtful > worked.killed:
        sys.exit(
            f"the sink has {taken} letters, the outbox {states['sent']} and {doubtful} unknown"
        )
    return worked, used


def _mailing(written: Worked, sent: Worked, smtplib: float) -> list[Figure]:
    rate, whole = LETTERS / sent.seconds, LETTERS / (written.seconds + sent.seconds)
    cores = os.cpu_count() or 1
    return [
        beside("composed and sent, ledger and all", whole, smtplib, LEAST_OF_SMTPLIB * smtplib),
        beside("sent, ledger and all", rate, smtplib, LEAST_OF_SMTPLIB * smtplib),
        beside("composed into the outbox", LETTERS / written.seconds, smtplib, None),
        at_least("composed and sent, per core", whole / cores, "letters/s", target=None),
        at_most(f"memory of a sender, {EARLY_LETTERS:,} to {LETTERS:,} letters", sent.megabytes,
                "MB", baseline=sent.megabytes_early, target=MOST_GROWTH * sent.megabytes_early),
    ]  # fmt: skip


def _processor(written: Worked, sent: Worked, smtplib: float) -> list[Figure]:
    """Unlike the clock it does not depend on what else the machine does."""
    figures = []
    for name, worked in (("composing", written), ("sending", sent)):
        for part, seconds in (
            ("workers", worked.processor_seconds), ("PostgreSQL", worked.server_seconds),
        ):  # fmt: skip
            each = seconds / LETTERS * 1e6
            figures.append(
                at_most(f"processor of a letter, {name}, {part}", each, "µs",
                        baseline=smtplib, target=None)
            )  # fmt: skip
    return figures


def _others(place: Place, scratch: Path, smtplib: float, ours: float) -> list[Figure]:
    return [
        beside("the sink's ceiling, prebuilt octets", bare(place, OTHERS_LETTERS).rate, ours, None),
        beside("smtplib, one prebuilt message", smtplib, ours, None),
        beside("Airflow's SMTP hook, per message", by_hook(place, HOOK_LETTERS).rate, ours, None),
    ]


def _nodemailer(place: Place, scratch: Path, sent: float, whole: float) -> list[Figure]:
    """What composes each is held against composed and sent; only one of them signs, as we do."""
    key = scratch / "dkim.pem"
    key.write_bytes(new_dkim_key()[0])
    found = []
    for name, composed, signed, ours in (
        ("composing and signing each", True, key, whole),
        ("composing each", True, None, whole),
        ("one prebuilt message", False, None, sent),
    ):
        rate = by_nodemailer(place, OTHERS_LETTERS, scratch, composed=composed, key=signed)
        if rate is None:
            print("nodemailer is not measured: there is no node, or npm reached no registry")
            break
        found.append(beside(f"nodemailer's pool, {name}", rate, ours, None))
    return found


def _killed(sent: Worked, killed: Worked) -> list[Figure]:
    return [
        at_most("one worker killed in the middle and tried again", killed.seconds, "s",
                baseline=sent.seconds, target=MOST_AFTER_A_KILL * sent.seconds),
    ]  # fmt: skip


def _alone(certificates: Certificates) -> list[Figure]:
    """RelayConnection by itself, with the DATA of any relay and with the BDAT of some."""
    figures = []
    for way, offers in (("BDAT", OFFERS), ("DATA", tuple(o for o in OFFERS if o != "CHUNKING"))):
        with _connected(certificates, offers) as send:
            send(ALONE_LETTERS // 10)
            used = process_time()
            send(ALONE_LETTERS)
            each = (process_time() - used) / ALONE_LETTERS * 1e6
        name = f"RelayConnection alone, by {way}, {PREBUILT_OCTETS:,} octets"
        figures.append(at_most(name, each, "µs", baseline=None, target=MOST_MICROSECONDS))
    return figures


@contextmanager
def _connected(
    certificates: Certificates, offers: tuple[str, ...]
) -> Iterator[Callable[[int], None]]:
    head = b"From: <a@example.org>\r\nSubject: x\r\n\r\n"
    line = b"x" * 74 + b"\r\n"
    message = head + line * ((PREBUILT_OCTETS - len(head)) // len(line))
    vendor = load_vendors(HOME / "vendors.yaml")["embedded"]
    with Sink(certificates, offers) as sink:
        url = RelayUrl.parse(f"smtps://localhost:{sink.port}")
        with open_relay(vendor, url, on=DAY, trust=certificates.ca, max_letters=None) as connection:

            def send(letters: int) -> None:
                for _ in range(letters):
                    assert connection.alive
                    connection.send(FROM, TO, message, envid="e1", on_attempt=lambda: None)

            yield send


if __name__ == "__main__":
    sys.exit(main())
