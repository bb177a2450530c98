"""Vendors: who may see patients' data on our behalf, and under which agreement.

No vendor without a business associate agreement in force on the day (SEC-20), with every clause
that 45 CFR 164.504(e)(2) and 164.314(a)(2)(i) ask for (SEC-21, SEC-22), and no host that its entry
does not list. There is no other way out for patients' data: nothing is handed to anybody who would
pay for it (PRV-14). `registry` is what an entry may say, `agreement` the contract in it, `standing`
whether it may be used on a day.
"""

from reengage.vendors.agreement import CLAUSES, PARAGRAPHS, Baa, Clause, Document, Subcontractor
from reengage.vendors.registry import (
    LOOPBACK,
    Host,
    OwnRelay,
    Status,
    TlsGuarantee,
    Tracking,
    Vendor,
    load_vendors,
    require_vendor,
)
from reengage.vendors.standing import (
    Level,
    days_left,
    level_of,
    require_baa,
    require_host,
    require_in_force,
    warning_of,
)

__all__ = [
    "CLAUSES", "LOOPBACK", "PARAGRAPHS", "Baa", "Clause", "Document", "Host", "Level", "OwnRelay",
    "Status", "Subcontractor", "TlsGuarantee", "Tracking", "Vendor", "days_left", "level_of",
    "load_vendors", "require_baa", "require_host", "require_in_force", "require_vendor",
    "warning_of",
]  # fmt: skip
