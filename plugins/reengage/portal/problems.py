"""Problems: the answers that are no success, each a status and a word that the page knows.

The word is the same whether there is such a letter or not, and no answer repeats what was sent.
"""

from __future__ import annotations

from reengage.errors import ReengageError


class PortalProblemError(ReengageError):
    """A request is answered with this; `seconds` tells when to come back."""

    def __init__(self, status: int, word: str, seconds: int | None = None) -> None:
        super().__init__(word)
        self.status = status
        self.word = word
        self.seconds = seconds


def not_opened(left: int) -> PortalProblemError:
    """The answer was not right, or there is no such letter."""
    return PortalProblemError(403 if left else 423, "wrong" if left else "locked")


def locked() -> PortalProblemError:
    """Too many wrong answers, or somebody said that the letter is not theirs."""
    return PortalProblemError(423, "locked")


def too_early(seconds: int) -> PortalProblemError:
    """A wrong answer a moment ago."""
    return PortalProblemError(429, "wait", seconds)


def too_many(seconds: int) -> PortalProblemError:
    """This address of the network asked too often."""
    return PortalProblemError(429, "busy", seconds)


def enough(seconds: int) -> PortalProblemError:
    """This letter has said how to be written to often enough for today."""
    return PortalProblemError(429, "enough", seconds)


def crowded() -> PortalProblemError:
    """More answers wait to be looked at than this machine gets to soon; none was counted."""
    return PortalProblemError(503, "crowded", 5)


def no_session() -> PortalProblemError:
    """None, over, or of another letter."""
    return PortalProblemError(401, "session")


def released() -> PortalProblemError:
    """A session takes the letter once."""
    return PortalProblemError(410, "released")


def unusable(word: str = "unusable") -> PortalProblemError:
    """What was sent cannot be meant."""
    return PortalProblemError(422, word)
