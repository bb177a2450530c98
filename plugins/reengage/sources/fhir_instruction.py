"""What a prescriber wrote for the patient, as far as a letter may repeat it (PRV-20, EML-02).

`dosageInstruction.text` is free text. A letter shows a dosage: one line of bounded length, and
nothing that a mail client makes a link of or a reader would call. What is more than that is not
shortened, which could change what it says: the medicine is then not fit for a letter.
"""

from __future__ import annotations

import re
import unicodedata

LONGEST = 200
"""Characters of an instruction; a label of a pharmacy has fewer."""

_UNIT = r"(?!\s*(?:mg|mcg|ug|g|ml|l|iu|units?|unt|meq|mmol|puffs?|drops?)\b)"
_CONTACTS = re.compile(
    r"@"
    r"|\w+://|\bwww\."
    r"|[a-z0-9]\.(?:com|org|net|edu|gov|mil|info|biz|io|co|us|me|app|health|care|clinic|link|ly|to"
    r"|dev|page|site|online|shop|xyz)\b"
    r"|\+\d[\d\s().-]{6,}\d"
    r"|\(?\b\d{3}\)?[\s.-]*\d{3}[\s.-]*\d{4}\b"
    # Seven digits are a telephone number, too, unless they are a range of doses.
    rf"|\b\d{{3}}[.-]\d{{4}}\b{_UNIT}",
    re.IGNORECASE | re.ASCII,
)


def is_mailable(name: str, instruction: str | None) -> bool:
    """Whether a letter may show both as they are: a name, and a line on how to take it."""
    said = f"{name} {instruction or ''}"
    return (
        len(instruction or "") <= LONGEST
        and not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for c in said)
        and _CONTACTS.search(said) is None
    )
