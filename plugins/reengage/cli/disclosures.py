"""The accounting of disclosures that a patient may ask for (45 CFR 164.528, PRV-25).

The ledger says what was disclosed, the warehouse whose address it was; nobody is told of an entry
that was not verified. That somebody asked is on record before anything is shown.
"""

from __future__ import annotations

import os
import tempfile
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from rich.console import Console

from reengage import settings
from reengage.cli import places
from reengage.cli.actor import of_patient, record_access
from reengage.cli.refuse import patient_key
from reengage.disclosing import tell
from reengage.errors import ConfigurationError
from reengage.keys import open_keyring
from reengage.ledger.accounting import Accounting, Line, as_csv
from reengage.ledger.checkpoints import Checkpoints
from reengage.practice import load_practice


def disclosures(options: Namespace, home: Path) -> int:
    """What was disclosed about a patient in a period; 1 when nobody knows the patient."""
    if options.first > options.last:
        raise ConfigurationError("--from lies after --to; exchange them")
    key = patient_key(options.patient)
    keyring = open_keyring(places.keyring(home))
    patient = of_patient(keyring, key)
    asked = {"from": options.first.isoformat(), "to": options.last.isoformat()}
    checkpoints = Checkpoints(settings.checkpoints_location(keyring.directory))
    with places.store(home) as engine, places.warehouse(home) as warehouse:
        record_access(engine, keyring, "opened", "disclosures", {**patient, **asked})
        told = tell(
            home,
            keyring,
            engine,
            warehouse,
            patient_key=key,
            first=options.first,
            last=options.last,
            checkpoints=checkpoints,
        )
    _write(options, home, told.accounting, told.name, key, told.evidence)
    if not (options.csv or options.pdf):
        _render(told.accounting, told.evidence)
    if not told.known:
        Console(stderr=True).print("neither the ledger nor the warehouse knows such a patient")
        return 1
    return 0


def _write(
    options: Namespace,
    home: Path,
    accounting: Accounting,
    name: str | None,
    key: str,
    evidence: str,
) -> None:
    if options.csv:
        _put(options.csv, as_csv(accounting).encode())
    if options.pdf:
        from reengage.accounting_letter import Facts, as_pdf

        practice = load_practice(home / "practice.yaml")
        made_on = datetime.now(UTC).astimezone(ZoneInfo(practice.time_zone)).date()
        patient = f"{name}, record {key}" if name else f"record {key}"
        _put(options.pdf, as_pdf(Facts(practice, accounting, made_on, patient, evidence)))
    for path in filter(None, (options.csv, options.pdf)):
        Console().print(f"written to {path}; it tells of a patient, keep it so", soft_wrap=True)


def _put(path: Path, content: bytes) -> None:
    """Write the file whole, for its owner's eyes."""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written ({error.strerror})") from None


def _render(accounting: Accounting, evidence: str) -> None:
    for title, lines in (
        ("accounted for under 45 CFR 164.528", accounting.accountable),
        ("excepted", accounting.excepted),
    ):
        print(f"{title}: {len(lines) or 'none'}")
        for line in lines:
            _tell(line)
    print(f"prepared, and reached nobody: {accounting.undelivered or 'none'}")
    print(evidence)


def _tell(line: Line) -> None:
    which = "entry" if len(line.entries) == 1 else "entries"
    print(f"  {line.day}  {line.outcome}  {which} {', '.join(map(str, line.entries))}")
    for name, value in (
        ("to", f"{line.recipient}, {line.address}"),
        ("disclosed", line.disclosed),
        ("for", f"{line.campaign}, {line.purpose}; authorization {line.authorization}"),
        ("through", f"{line.vendor}, agreement {line.agreement}"),
        ("because", line.basis),
    ):
        shown = "".join(c if c.isprintable() else "\ufffd" for c in value)
        print(f"      {name:9}  {shown}")
