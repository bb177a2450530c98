"""Shows broken campaign files where Airflow shows broken DAGs: as an import error of this file.

It defines no DAG. The sound campaigns load from `reengagement.py` meanwhile; a broken one has no
DAG, so it cannot send. Airflow looks for the words "airflow" and "dag" before it reads a file.
"""

from __future__ import annotations

from reengage.campaigns import load_campaigns
from reengage.errors import ConfigurationError
from reengage.settings import HOME

if errors := load_campaigns(HOME)[1]:
    # A fault in a file that all of them read is told once.
    raise ConfigurationError("\n".join(dict.fromkeys(str(error) for error in errors)))
