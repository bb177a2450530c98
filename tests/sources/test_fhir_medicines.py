"""The list of sensitive medicines: in order, and without a part of an ordinary name."""

from __future__ import annotations

import csv
import re

import pytest
from reengage.settings import HOME

PATH = HOME / "sql" / "contract" / "sensitive_medicines.csv"
CLASSES = ["hiv", "substance_use", "psychiatric", "reproductive"]
TOLD = {
    "Biktarvy 50/200/25 mg tablet": "hiv",
    "Lenacapavir 300 MG Oral Tablet": "hiv",
    "Darunavir 800 MG / cobicistat 150 MG": "hiv",
    "Suboxone 8 mg-2 mg film": "substance_use",
    "VIVITROL 380 MG injection": "substance_use",
    "Latuda 40 MG": "psychiatric",
    "dextroamphetamine sulfate 10 MG": "psychiatric",
    "Nortriptyline 25 MG Oral Capsule": "psychiatric",
    "misoprostol 0.2 MG": "reproductive",
}
ORDINARY = """
acetaminophen acyclovir albuterol allopurinol amiodarone amlodipine amoxicillin apixaban
atenolol atorvastatin azithromycin baclofen benazepril bisoprolol budesonide candesartan
carbamazepine carvedilol celecoxib cephalexin cetirizine chlorthalidone ciprofloxacin clopidogrel
colchicine cyclobenzaprine dapagliflozin dexamethasone diclofenac digoxin diltiazem donepezil
doxazosin doxycycline empagliflozin enalapril entecavir ezetimibe famotidine felodipine fenofibrate
finasteride fluconazole fluticasone furosemide gabapentin glimepiride glipizide glyburide
hydralazine hydrochlorothiazide hydroxychloroquine ibuprofen insulin irbesartan isosorbide
ketorolac labetalol latanoprost levetiracetam levofloxacin levothyroxine linagliptin liraglutide
lisinopril loratadine losartan meclizine meloxicam memantine metformin methotrexate metoprolol
metronidazole montelukast nadolol naproxen nifedipine nitrofurantoin nitroglycerin olmesartan
omeprazole ondansetron oseltamivir oxybutynin pantoprazole penicillin pioglitazone potassium
pravastatin prednisone pregabalin prochlorperazine promethazine propranolol quinapril ramipril
ranitidine rifampin rivaroxaban ropinirole rosuvastatin semaglutide simvastatin sitagliptin
sofosbuvir spironolactone sumatriptan tamsulosin terazosin tiotropium topiramate tramadol
triamterene valacyclovir valsartan verapamil warfarin zolmitriptan
advair bactrim benicar combivent coumadin crestor cozaar diovan eliquis entresto farxiga flonase
glucophage humira januvia jardiance lantus lasix lipitor nexium norvasc ozempic plavix prilosec
singulair spiriva symbicort synthroid tamiflu toprol trulicity ventolin victoza xarelto zestril
zithromax zyrtec
"""


@pytest.fixture(scope="module")
def listed() -> list[dict[str, str]]:
    with PATH.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def told(listed: list[dict[str, str]], words: str) -> set[str]:
    """The classes of the names in these words, looked for as parts/medicines.sql does."""
    return {row["class"] for row in listed if row["ingredient"] in words.lower()}


def test_names_are_in_order_and_there_once(listed: list[dict[str, str]]) -> None:
    order = [(CLASSES.index(row["class"]), row["ingredient"]) for row in listed]
    assert order == sorted(set(order))
    names = [row["ingredient"] for row in listed]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z]+", name) for name in names)
    assert all(re.fullmatch(r"[A-Z]\d\d[A-Z]{2}\d\d", row["atc"]) for row in listed)


def test_medicines_are_told_by_ingredient_and_by_brand(listed: list[dict[str, str]]) -> None:
    assert {words: told(listed, words) for words in TOLD} == {
        words: {class_} for words, class_ in TOLD.items()
    }


def test_no_ordinary_medicine_is_told_by_a_part_of_its_name(listed: list[dict[str, str]]) -> None:
    assert {name for name in ORDINARY.split() if told(listed, name)} == set()
