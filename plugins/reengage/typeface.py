"""IBM Plex Sans for the PDFs: regular, and a semibold that is cut from the variable font once.

fpdf would cut it anew for each PDF, kerning included, which it does not use for our texts: five
seconds a letter. Without those tables it takes a tenth of one.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import fontpkg
from fontTools.ttLib import TTFont
from fontTools.varLib.instancer import instantiateVariableFont
from fpdf import FPDF
from fpdf.fonts import TTFFont

_FAMILY = "IBM Plex Sans"
_SEMIBOLD = {"wght": 600.0, "wdth": 100.0}
_LAYOUT = ("GPOS", "GSUB", "GDEF")


def add_plex(pdf: FPDF) -> set[int]:
    """Make `plex`, regular and B, known to the PDF; gives the code points that it has."""
    pdf.add_font("plex", "", _regular())
    pdf.add_font("plex", "B", _semibold())
    font = pdf.fonts["plex"]
    return set(font.cmap) if isinstance(font, TTFFont) else set()


def _regular() -> Path:
    return Path(fontpkg.path(_FAMILY))


@cache
def _semibold() -> Path:
    """A file, since fpdf reads no bytes; it goes with the process."""
    font = TTFont(_regular(), recalcTimestamp=False)
    for table in _LAYOUT:
        if table in font:
            del font[table]
    directory = Path(tempfile.mkdtemp(prefix="reengage-typeface-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    path = directory / "semibold.ttf"
    instantiateVariableFont(font, _SEMIBOLD, inplace=True).save(path)
    return path
