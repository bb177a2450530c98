"""Imports that every task needs, made once in the executor's fork server and then shared.

Great Expectations alone takes seconds to import; with this module in `[core]
mp_forkserver_preload` a task starts in a tenth of one. It must only import.
"""

from __future__ import annotations

import importlib

for _module in (
    "pandas",
    "reengage.operators",
    "reengage.pipeline.check_letters",
    "reengage.pipeline.extract",
    "reengage.pipeline.gate",
    "reengage.pipeline.letter",
    "reengage.pipeline.plan",
    "reengage.pipeline.preflight",
    "reengage.pipeline.send",
    "reengage.pipeline.settle",
    "reengage.pipeline.steps",
):
    importlib.import_module(_module)
