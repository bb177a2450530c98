"""`python -m reengage`: the command line, see `reengage.cli`."""

from __future__ import annotations

import sys

from reengage.cli.main import main

sys.exit(main())
