"""Job `sample` of profile dev: made-up patients into the stack's warehouse, unless they are there.

The same sample as `make run` writes, as of today; loaded as the warehouse's owner. The role that
campaigns read with gets the contract's views and nothing else.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Engine, text

from reengage import warehouse
from reengage.errors import ReengageError
from reengage.settings import HOME
from reengage.sources import loading, sample
from reengage.sources.detect import source_of

SEED = 7


def load_sample(engine: Engine, *, patients: int) -> bool:
    """Load the sample into an empty warehouse; whether it was empty."""
    with engine.connect() as connection:
        if connection.execute(text("SELECT to_regclass('contract.patient')")).scalar():
            return False
    today = datetime.now(UTC).date()
    with TemporaryDirectory() as scratch:
        directory = Path(scratch)
        sample.write_sample(directory, patients=patients, seed=SEED, as_of=today)
        loading.load(engine, source_of(directory), directory, HOME)
    return True


def main() -> int:
    """Load what the environment asks for; the process's exit code."""
    patients = int(os.environ.get("SAMPLE_PATIENTS") or 5000)
    engine = warehouse.connect(os.environ["WAREHOUSE_LOADER_URL"])
    try:
        loaded = load_sample(engine, patients=patients)
    except ReengageError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    finally:
        engine.dispose()
    told = f"{patients:,} made-up patients loaded" if loaded else "the warehouse is not empty"
    sys.stdout.write(told + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
