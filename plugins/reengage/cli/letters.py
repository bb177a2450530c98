"""Looking before sending: one patient's letter as it would look, and a test letter to staff."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from rich.console import Console

from reengage.accounts import actor, claimed
from reengage.cli.explain import settings_at
from reengage.cli.refuse import patient_key
from reengage.embedded.certificates import write_private
from reengage.pipeline.preview import preview as look
from reengage.pipeline.trial import send_trial
from reengage.settings import read_settings


def preview(options: Namespace, home: Path) -> int:
    """The patient's letter of a day; 1 where there would be none. Who looked is on record."""
    patient = patient_key(options.patient)
    with settings_at(home) as settings:
        found = look(
            settings, options.campaign, patient, by=actor(), day=options.date, detail=claimed()
        )
    if found.letter is None:
        why = ", ".join(found.reasons) or "no candidate of this campaign that day"
        print(f"no letter: {why}; `python -m reengage why` tells the whole of it")
        return 1
    letter = found.letter
    if options.html:
        write_private(options.html, letter.html.encode())
        print(f"written to {options.html}; it names a patient: delete it when you have looked")
        return 0
    print(f"Subject: {letter.subject}\n\n{letter.text}")
    return 0


def test_letter(options: Namespace, home: Path) -> int:
    """Send a letter with made-up data to staff; 1 where the relay did not take it."""
    settings = read_settings()
    done = send_trial(
        settings, options.campaign, options.to,
        language=options.language, variant=options.variant,
        by=actor(), account=claimed().get("account"),
    )  # fmt: skip
    said = f", {done.reply}" if done.reply else ""
    Console().print(
        f"{done.outcome}{said}, under {done.baa_id}, by {done.tls}", soft_wrap=True, highlight=False
    )
    return int(done.outcome != "sent")
