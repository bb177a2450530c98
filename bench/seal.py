"""Letters a second on one core: composing, and signing beside the bare signature it needs.

Composition goes from a letter's formatted fields to its finished bytes, skeleton looked up, links
checked and header included; what it is compared with makes the same letter by `email.message`
from the same rendered template. All templates of the project take turns, each letter has values of
its own. Everything is timed in processor time of one process, the kinds in turn, `ROUNDS` times;
the median counts. LETTERS=2000 measures with so many a round.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from itertools import cycle, islice
from random import Random
from statistics import median
from time import process_time
from typing import Any

import sealing
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from harness import at_least, beside, publish
from reengage.campaigns import load_campaigns
from reengage.compose import Links, Parts, Skeleton, compose, finish
from reengage.practice import load_practice
from reengage.sealing.protection import protect
from reengage.settings import HOME
from reengage.templates import Template, format_field, load_template

LETTERS = int(os.environ.get("LETTERS", "2000"))
ROUNDS = 7
LEAST_COMPOSED = 20_000
"""Letters per second and core."""
LEAST_OF_ENCRYPTION = 0.5
"""Letters encrypted by S/MIME, as a share of the bare operations in the same time."""
LEAST_OF_SIGNATURE = 0.5
"""Signed letters, as a share of the bare signatures in the same time."""

PRACTICE = load_practice(HOME / "practice.yaml")
NOW = datetime(2026, 6, 1, 14, 0, tzinfo=UTC)
WORDS = ("Clínica", "Añil", "Harney", "Prairie", "O'Brien & Söns", "North", "Lisinopril", "10 MG")


@dataclass(frozen=True)
class Draft:
    """What a letter is made of."""

    template: Template
    fields: dict[str, str]
    recipient: str
    message_id: str
    token: str


def main() -> int:
    """Measure and publish."""
    drafts = _drafts(Random(5))
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )  # fmt: skip
    each = _alternating(
        {
            "composed": (_composed, drafts),
            "whole": (_whole, drafts[::10]),
            "email": (_by_email, drafts[::10]),
            "signed": (lambda draft: _composed(draft, pem), drafts[::4]),
            "bare": (lambda draft: _bare(key, draft), drafts[::4]),
        }
    )
    payloads = [_payload(draft) for draft in drafts[::10]]
    ways = sealing.modes()
    sealed = _alternating(
        {mode.name: (mode.sealed, payloads) for mode in ways}
        | {f"bare {mode.name}": (mode.bare, payloads) for mode in ways}
    )
    octets = sum(len(_composed(draft)) for draft in drafts) / len(drafts)
    note = (
        f"{LETTERS:,} letters of {octets / 1024:.0f} KiB in the mean, every template in turn;"
        f" median of {ROUNDS} rounds,\nprocessor time of one process. baselines: `email.message`"
        " building the same letter from the same\nrendering; RSA-2048 PKCS #1 v1.5 of as many"
        " bytes as the header has, and nothing\nelse; for each way to seal the operations of"
        " sealing.py, keys ready, without structure, base64 or MIME"
    )
    figures = [
        beside("composed, unsigned, per core", each["composed"], each["email"], LEAST_COMPOSED),
        beside("rendered and encoded whole, per core", each["whole"], each["email"], None),
        beside("composed and DKIM-signed, per core", each["signed"], each["bare"], None),
        at_least("DKIM-signed, of the bare signature", each["signed"] / each["bare"], "times",
                 target=LEAST_OF_SIGNATURE),
        *(
            beside(f"{mode.name}, per core", sealed[mode.name], sealed[f"bare {mode.name}"], None)
            for mode in ways
        ),
        *(
            at_least(f"{mode.name}, of the bare operations",
                     sealed[mode.name] / sealed[f"bare {mode.name}"], "times",
                     target=LEAST_OF_ENCRYPTION)
            for mode in ways if mode.encrypts_only
        ),
    ]  # fmt: skip
    status: int = publish("seal", note, figures)
    return status


def _drafts(random: Random) -> list[Draft]:
    """Letters of every campaign and language, with made-up values."""
    campaigns, broken = load_campaigns(HOME)
    if broken:
        sys.exit(str(broken[0]))
    kinds = [(campaign, language) for campaign in campaigns for language in campaign.languages]
    drafts = []
    for campaign, language in islice(cycle(kinds), LETTERS):
        fields = {}
        for name, rule in campaign.fields.items():
            value = NOW if rule.as_ in ("date", "time") else " ".join(random.choices(WORDS, k=4))
            fields[name] = format_field(value, rule.as_, language, "America/Chicago")
        drafts.append(
            Draft(
                load_template(HOME, campaign.template, language),
                fields,
                f"patient.{random.getrandbits(40):x}@example.org",
                f"<{random.getrandbits(160):040x}@{PRACTICE.message_id_domain}>",
                f"{random.getrandbits(160):040x}",
            )
        )
    return drafts


def _parts(draft: Draft) -> Parts:
    return Skeleton.of(draft.template, PRACTICE).parts(
        draft.fields,
        Links.of(PRACTICE, draft.token),
        recipient=draft.recipient,
        message_id=draft.message_id,
        date=NOW,
    )


def _composed(draft: Draft, pem: bytes | None = None) -> bytes:
    parts = _parts(draft)
    return finish(parts.fields, parts.entity, practice=PRACTICE, date=NOW, dkim_key=pem)


def _payload(draft: Draft) -> bytes:
    """What S/MIME seals of a letter: headers protected, nothing signed yet."""
    parts = _parts(draft)
    return protect(parts.fields, parts.entity)[1]


def _rendered(draft: Draft, links: Links) -> Any:
    return draft.template.render(
        draft.fields,
        PRACTICE,
        opt_out_url=links.opt_out_url,
        opt_out_mailto=links.opt_out_mailto,
    )


def _whole(draft: Draft) -> bytes:
    """As a letter is made that checks compare with."""
    return compose(
        _rendered(draft, Links.of(PRACTICE, draft.token)),
        practice=PRACTICE,
        recipient=draft.recipient,
        message_id=draft.message_id,
        date=NOW,
        opt_out_token=draft.token,
        dkim_key=None,
    )


def _by_email(draft: Draft) -> bytes:
    links = Links.of(PRACTICE, draft.token)
    rendered = _rendered(draft, links)
    message = EmailMessage(SMTP)
    message["From"] = Address(PRACTICE.from_name, addr_spec=PRACTICE.from_address)
    message["To"] = draft.recipient
    message["Reply-To"] = PRACTICE.reply_to
    message["Subject"] = rendered.subject
    message["Date"] = format_datetime(NOW)
    message["Message-ID"] = draft.message_id
    message["Auto-Submitted"] = "auto-generated"
    message["List-Unsubscribe"] = f"<{links.opt_out_url}>, <{links.opt_out_mailto}>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(rendered.text, cte="quoted-printable")
    message.add_alternative(rendered.html, subtype="html", cte="quoted-printable")
    return message.as_bytes()


def _bare(key: rsa.RSAPrivateKey, draft: Draft) -> bytes:
    """The signature alone, over as many bytes as DKIM signs of a header."""
    text = (draft.message_id * 40)[:1200].encode()
    return key.sign(text, padding.PKCS1v15(), hashes.SHA256())


def _alternating(
    works: dict[str, tuple[Callable[[Any], object], list[Any]]],
) -> dict[str, float]:
    """Of each kind of work the median number a second, without the first round, which compiles."""
    speeds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS + 1):
        for name, (work, drafts) in works.items():
            used = process_time()
            for draft in drafts:
                work(draft)
            speeds[name].append(len(drafts) / (process_time() - used))
    return {name: median(found[1:]) for name, found in speeds.items()}


if __name__ == "__main__":
    sys.exit(main())
