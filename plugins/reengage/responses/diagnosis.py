"""Diagnosis: why a letter came back, and whether its address is dead, from codes and words. Pure.

Words first where they are plain, because many servers give a code that says less or another thing
("550 5.7.1 User unknown"); then the enhanced status (RFC 3463, RFC 7372, RFC 7505); then the
reply. **Hard** is what no later try can mend, about the address itself: nobody there, no such
domain, moved, or a host that takes no mail at all. Everything that the sender, the letter, or the
day may have caused is soft, also where a server calls it permanent (5.7.1): to stop writing to a
patient for a fault of ours would hide it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Cause = Literal[
    "no_such_user", "no_such_domain", "moved", "takes_no_mail",
    "mailbox_full", "mailbox_disabled", "too_large", "content", "sender_refused", "rate",
    "network", "expired", "server", "unclear",
]  # fmt: skip
HARD: frozenset[Cause] = frozenset({"no_such_user", "no_such_domain", "moved", "takes_no_mail"})


@dataclass(frozen=True)
class Diagnosis:
    """Why, in a word that names nobody."""

    cause: Cause
    status: str
    """The enhanced status, `5.1.1`; empty where none was given."""

    @property
    def hard(self) -> bool:
        """Whether the address is dead."""
        return self.cause in HARD


STATUS = re.compile(r"(?<![\d.])[245]\.\d{1,3}\.\d{1,3}(?![\d.])")
REPLY = re.compile(r"(?<![\d.])[45][0-5]\d(?=[ \-:]|$)")
LONGEST = 8 * 1024
"""Of a diagnostic text: what matters stands at its beginning, and matching stays quick."""

# In order: the first that is found decides. Written for what servers say of a recipient, not for
# what people write; each is looked for in small letters with single spaces.
_WORDS: tuple[tuple[Cause, str], ...] = (
    ("server", r"procmail|couldn't create|unable to contact|mailer error|pipe to"),
    ("expired", r"message expired|envelope expired|(?:been|too long) in (?:the )?queue|"
     r"retry time(?:out)? (?:was |has been )?exceeded|multiple retries|"
     r"could not be delivered for|timed ?out|not accept our requests to connect|"
     r"delivery time expired|warning message only|will be retried"),
    ("mailbox_full", r"mailbox (?:is )?full|(?:over|exceed\w*|out of) (?:\w+ ){0,3}quota|"
     r"quota (?:\w+ ){0,2}exceed|exceed\w* (?:\w+ ){0,3}(?:allowed size|storage|local limit)|"
     r"storage quota|insufficient (?:disk|storage)|mailbox exceeds"),
    ("rate", r"receiving mail at a rate|too many (?:messages|connections|recipients)|rate limit|"
     r"(?:daily|hourly) (?:\w+ ){0,2}quota|try(?:ing)? again later|try later|throttl|grey ?list"),
    ("too_large", r"(?:message|mail|line|size) (?:\w+ ){0,3}(?:too (?:large|big|long)|limit "
     r"exceeded|exceeds)|too large"),
    ("sender_refused", r"dmarc|\bspf\b|unauthenticated|reverse dns|\bptr\b|ip name lookup|"
     r"rdns|blacklist|block ?list|blocked (?:by|using|for)|reputation|banned sending|"
     r"relay(?:ing)? (?:access )?denied|mail relay|unable to relay|not permitted to relay|"
     r"sender (?:address )?(?:was )?rejected|sender address|responsible address|"
     r"valid sender|sender (?:domain|verify)|connections not accepted|not accepting connections|"
     r"smtp server of your isp|initial connection|domain is invalid|after mail from|\[mail_from\]"),
    ("content", r"spam|\bube\b|content (?:\w+ )?(?:rejected|presents)|mail rejet|virus|"
     r"policy reasons|header error|rfc ?(?:2|5)822|multiple (?:\w+ ){0,2}(?:addresses|headers|"
     r"subject)|8-bit data|media error|from: header"),
    ("moved", r"not our (?:user|customer)|has moved|moved to|no forwarding|"
     r"no longer (?:valid|at this|employed|with|in use)"),
    ("takes_no_mail", r"(?:host|domain|system) does not accept mail|does not accept e?-?mail|"
     r"no mx record|null ?mx|not accepting network messages"),
    ("mailbox_disabled", r"(?:account|mailbox|recipient|user)(?: address)?(?: \S+){0,7}? "
     r"(?:is |has been |was )?"
     r"(?:temporarily |currently )?(?:disabled|suspended|deactivated|inactive|discontinued)|"
     r"disabled recipient|account (?:is )?inactive"),
    ("no_such_domain", r"(?:no such|unknown|illegal|invalid) (?:host/)?(?:domain|host)|"
     r"(?:host|domain)(?: name)? (?:unknown|not found|does not exist|is not reachable)|"
     r"unrouteable (?:mail )?domain|host not found|bad destination system"),
    ("no_such_user", r"(?:user|recipient|mailbox|address|alias|account)s?(?: name)?(?: is| was)? "
     r"(?:unknown|not (?:found|exist|listed|recognized|known)|does ?n[o']t exist|invalid)|"
     r"(?:unknown|no such|invalid|non-?existent|not a registered(?: \w+)?|bad destination mailbox)"
     r" (?:\w+ )?(?:user|recipients?|mailbox|address|alias|account|or illegal alias)|"
     r"user (?:\S+ ){0,2}not (?:exist|listed)|no (?:mailbox|user|account) (?:here|by|with)|"
     r"recipnotfound|recipientnotfound|not recognized|doesn't have an? \S+ account|"
     r"(?:account|mailbox|user|recipient) (?:that )?(?:you tried to reach )?(?:does not|doesn't) "
     r"exist|mailbox unavailable|recipient address rejected|no valid recipients|"
     r"unknown or illegal alias"),
    ("network", r"name service error|dns (?:query|lookup)|host name lookup failure|too many hops|"
     r"mail loop|loop(?:s)? back|connection (?:refused|reset|lost)|smtp connection|"
     r"network is unreachable|no route to host|not reachable"),
    ("server", r"local configuration|internal error|system error|service unavailable"),
)  # fmt: skip
_COMPILED = [(cause, re.compile(words)) for cause, words in _WORDS]

# RFC 3463 and its registry, by the last two numbers; what is not here falls to the class below.
_BY_STATUS: dict[str, Cause] = {
    "1.0": "no_such_user", "1.1": "no_such_user", "1.2": "no_such_domain", "1.3": "no_such_user",
    "1.6": "moved", "1.7": "sender_refused", "1.8": "sender_refused", "1.10": "takes_no_mail",
    "2.0": "mailbox_disabled", "2.1": "mailbox_disabled", "2.2": "mailbox_full", "2.3": "too_large",
    "3.0": "server", "3.1": "server", "3.2": "takes_no_mail", "3.4": "too_large",
    "4.1": "network", "4.2": "network", "4.3": "network", "4.4": "network", "4.6": "network",
    "4.7": "expired", "7.13": "mailbox_disabled", "7.27": "takes_no_mail",
}  # fmt: skip
_BY_CLASS: dict[str, Cause] = {
    "2": "mailbox_disabled", "3": "server", "4": "network", "6": "content", "7": "sender_refused",
}  # fmt: skip
_BY_REPLY: dict[str, Cause] = {
    "521": "takes_no_mail",
    "552": "mailbox_full",
    "556": "takes_no_mail",
}


def diagnose(text: str, status: str = "") -> Diagnosis:
    """What a diagnostic text and the status beside it say of a recipient that failed.

    A status in the server's own words counts before that of who reported it.
    """
    said = " ".join(text[:LONGEST].lower().split())
    own = STATUS.search(said)
    code = own[0] if own else _clean(status)
    reply = REPLY.search(said)
    for cause, words in _COMPILED:
        if words.search(said):
            return Diagnosis(_unless_contradicted(cause, code), code)
    if code and (found := _by_status(code)):
        return Diagnosis(found, code)
    return Diagnosis(_BY_REPLY.get(reply[0], "unclear") if reply else "unclear", code)


def _by_status(code: str) -> Cause | None:
    _, subject, detail = code.split(".")
    return _BY_STATUS.get(f"{subject}.{detail}") or _BY_CLASS.get(subject)


def _unless_contradicted(cause: Cause, code: str) -> Cause:
    """A status about the mailbox (X.2.X) says that there is one, whatever the words beside it: it
    is full, disabled or picky, and counts as soft.
    """
    if cause in HARD and re.fullmatch(r"[245]\.2\.\d+", code):
        return _by_status(code) or cause
    return cause


def _clean(status: str) -> str:
    found = STATUS.search(status)
    return found[0] if found else ""
