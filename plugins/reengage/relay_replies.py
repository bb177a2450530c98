"""Replies of a relay: what a code means for a letter, and the little of the text that is kept.

An outcome's evidence holds codes and tokens only: a text may quote the patient's address. The reply
itself is given beside it, to be sealed by whoever keeps it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Literal

Stage = Literal["rset", "mail", "rcpt", "data", "dot"]
Kind = Literal["sent", "refused", "deferred", "unknown"]
Policy = Literal["dane", "mta-sts"]

REPLY_OCTETS = 1024
"""How much of a reply is kept: RFC 5321 section 4.5.3.1.5 allows 512 octets to a line."""

_KINDS: dict[int, Kind] = {2: "sent", 4: "deferred", 5: "refused"}
_ENHANCED = re.compile(rb"([245]\.\d{1,3}\.\d{1,3})(?!\S)")
# A token with a digit, ending where a word ends: never the first half of an address.
_QUEUE_ID = re.compile(
    rb"(?:queued as |\bid=|^(?:2\.\d\.\d )?ok:? )"
    rb"((?=[A-Za-z_.-]*\d)[A-Za-z0-9_.-]{4,64})(?![^\s;,)\]])",
    re.IGNORECASE,
)
# No standard has a relay say this. Taken in the words of RFC 8460 section 4.3.1.1 (tlsa, sts) or
# their usual names, as a word of its own: policy=dane, tls-policy=mta-sts, policy-type=sts.
_POLICY = re.compile(
    rb"(?:^|[\s;,(])(?:tls-)?policy(?:-type)?=(dane|tlsa|mta-sts|sts)(?![^\s;,)])", re.IGNORECASE
)
_POLICIES: dict[bytes, Policy] = {
    b"dane": "dane", b"tlsa": "dane", b"mta-sts": "mta-sts", b"sts": "mta-sts",
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What became of a letter. `stage` is where it was decided; codes as the relay gave them.

    Without a code: the connection was lost at `stage`, or, with an enhanced code, the letter was
    refused here because it cannot be said in the SMTP that this relay speaks.
    """

    kind: Kind
    stage: Stage
    code: int | None = None
    enhanced_code: str | None = None
    queue_id: str | None = None
    requiretls: bool = False
    """Whether the relay was told to deliver over verified TLS only, or not at all (RFC 8689)."""
    recipient_policy: Policy | None = None
    """By what the relay says it verified the mailbox's server. Recorded, and decides nothing."""
    reply: bytes = field(default=b"", repr=False, compare=False)
    """The reply that decided, at most REPLY_OCTETS: it may name the patient, so it is sealed."""

    @property
    def reason(self) -> str:
        """Stage and codes: never the relay's text."""
        if self.code is None and self.enhanced_code is None:
            return f"connection_lost_at_{self.stage}"
        return " ".join(str(part) for part in (self.stage, self.code, self.enhanced_code) if part)

    def evidence(self) -> dict[str, str | int | bool | None]:
        """All of it but the reply: safe to be kept in the open."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "reply"}


def outcome_of(stage: Stage, code: int, text: bytes, *, requiretls: bool = False) -> Outcome:
    """What a reply at a stage means. Without a code where it is no SMTP that makes sense there."""
    reply = (b"%d " % code + text if code > 0 else text)[:REPLY_OCTETS]
    kind = _KINDS.get(code // 100)
    if kind is None or stage == "rset" or (kind == "sent" and stage != "dot"):
        lost: Kind = "unknown" if stage == "dot" else "deferred"
        return Outcome(lost, stage, requiretls=requiretls, reply=reply)
    enhanced = _ENHANCED.match(text)
    taken = kind == "sent"
    queue_id = _QUEUE_ID.search(text) if taken else None
    policy = _POLICY.search(text) if taken else None
    return Outcome(
        kind,
        stage,
        code,
        enhanced[1].decode("ascii") if enhanced else None,
        queue_id[1].decode("ascii") if queue_id else None,
        requiretls,
        _POLICIES[policy[1].lower()] if policy else None,
        reply,
    )
