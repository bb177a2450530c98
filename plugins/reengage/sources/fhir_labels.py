"""Security labels of a resource as sensitive categories (PRV-29, PRV-32, PRV-33).

HL7's ActCode has codes for kinds of information that are kept more closely. One that is not in the
table, and a confidentiality of R (restricted) or V (very restricted), which does not say of what,
is the category `restricted`: a label that nobody here understands is still a label.
"""

from __future__ import annotations

from reengage.sources.fhir_element import Element

ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"

CATEGORIES = {
    "ETH": "substance_use", "ETHUD": "substance_use", "OPIOIDUD": "substance_use",
    "SUD": "substance_use", "42CFRPart2": "substance_use",
    "HIV": "hiv",
    "PSY": "mental_health", "PSYTHPN": "mental_health", "MH": "mental_health",
    "BH": "mental_health", "EMOTDIS": "mental_health", "HIPAAPsyNotes": "mental_health",
    "SEX": "reproductive",
    "STD": "sexually_transmitted",
    "GENDER": "gender_affirming",
    "GDIS": "genetics", "SCA": "genetics",
    "ADOL": "minor_services",
    "SDV": "violence", "MST": "violence", "VIO": "violence",
}  # fmt: skip
RESTRICTED = "restricted"


def categories(resource: Element) -> list[str]:
    """The sensitive categories that the resource's labels name, sorted."""
    found = set()
    for label in resource.one("meta").each("security"):
        system, code = label.text("system"), label.text("code")
        if system == ACT_CODE:
            found.add(CATEGORIES.get(code or "", RESTRICTED))
        elif system == CONFIDENTIALITY and code in ("R", "V"):
            found.add(RESTRICTED)
    return sorted(found)
