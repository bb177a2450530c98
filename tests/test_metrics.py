"""Metrics: what is told to a real StatsD listener through Airflow, and that no patient can be."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from daily import Practice
from reengage import measures, metrics
from reengage.measures import Measure, of_practice, of_step
from reengage.pipeline.settle import settle
from reengage.settings import HOME
from reengage.vendors import load_vendors
from simulators.smtp import DROP, HostileRelay
from sqlalchemy import create_engine
from world import DAY

CANARY = "canary.4711@example.org"


class Listener:
    """A UDP socket that keeps what arrives."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(5)
        self.port = self.socket.getsockname()[1]

    def lines(self, until: str) -> list[str]:
        """Everything up to the first line that begins so."""
        found: list[str] = []
        while not found or not found[-1].startswith(until):
            found += self.socket.recv(65536).decode().splitlines()
        return [line for line in found if not line.startswith("airflow.serde")]  # Airflow's own


@pytest.fixture
def listener(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Listener]:
    """Airflow's own StatsD client, as its configuration makes it, sends here."""
    heard = Listener()
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
    for name, value in {"ON": "True", "HOST": "127.0.0.1", "PORT": str(heard.port)}.items():
        monkeypatch.setenv(f"AIRFLOW__METRICS__STATSD_{name}", value)
    from airflow.sdk.observability import stats
    from airflow.sdk.observability.metrics import stats_utils

    stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=False)
    yield heard
    heard.socket.close()
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "False")
    stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=False)


def test_a_settled_run_is_told_to_statsd_by_outcome_time_and_standing(
    practice: Practice,
    hostile: HostileRelay,
    listener: Listener,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from reengage.pipeline.send import send

    for number in range(3):
        practice.world.patient(f"p{number}")
    run = practice.open("appointment_reminder")
    hostile.script = {"reply": [DROP, "250 2.0.0 ok"]}
    for chunk in practice.hurry(run):
        send(run, chunk)
    totals = settle(run)
    monkeypatch.setattr(metrics, "read_settings", lambda: practice.settings)
    started = datetime.now(UTC) - timedelta(seconds=2)
    metrics.after("appointment_reminder", "settle", started, totals, failed=False)
    heard = listener.lines("airflow.reengage.agreement_days")
    assert "airflow.reengage.letters.appointment_reminder.sent:2|g" in heard
    assert "airflow.reengage.letters.appointment_reminder.unknown:1|g" in heard
    assert "airflow.reengage.letters.appointment_reminder.refused:0|g" in heard
    assert "airflow.reengage.unknown.under_1_day:1|g" in heard
    assert "airflow.reengage.unknown.over_3_days:0|g" in heard
    [timing] = [line for line in heard if ".step.appointment_reminder.settle:" in line]
    assert 2000 <= float(timing.partition(":")[2].partition("|")[0]) < 60000
    for line in heard:
        assert re.fullmatch(r"airflow\.reengage(\.[a-z0-9_]+){1,3}:-?[0-9.]+\|(g|ms|c)", line), line


def test_the_audit_tells_size_and_last_verified_index(listener: Listener) -> None:
    now = datetime.now(UTC)
    metrics.after("audit", "verify", now, {"entries": 70, "root": "ab"}, failed=False)
    metrics.after("audit", "checkpoint", now, {"size": 70, "root": "ab"}, failed=False)
    heard = listener.lines("airflow.reengage.ledger.signed_entries")
    assert "airflow.reengage.ledger.entries:70|g" in heard
    assert "airflow.reengage.ledger.last_verified_index:69|g" in heard


def test_a_failed_task_tells_its_time_and_that_it_failed(listener: Listener) -> None:
    metrics.after("audit", "verify", datetime.now(UTC), None, failed=True)
    heard = listener.lines("airflow.reengage.step_failures")
    assert heard[-1] == "airflow.reengage.step_failures.audit.verify:1|c"
    assert not [line for line in heard if ".ledger." in line]


def test_a_chunk_that_went_well_does_not_hide_one_that_failed(listener: Listener) -> None:
    for failed in (True, False):
        metrics.after("x", "send", datetime.now(UTC), None, failed=failed)
    metrics.after("x", "settle", datetime.now(UTC), None, failed=False)
    heard = listener.lines("airflow.reengage.step_failures.x.settle")
    told = [line.partition(":")[2] for line in heard if ".step_failures.x.send:" in line]
    assert told == ["1|c", "0|c"]  # added up by who listens


def test_a_rehearsal_leaves_alone_what_the_last_live_run_said(listener: Listener) -> None:
    now = datetime.now(UTC)
    metrics.after("x", "settle", now, {"rehearsed": 7}, failed=False, live=False)
    metrics.after("x", "letter", now, None, failed=False)
    heard = listener.lines("airflow.reengage.step_failures.x.letter")
    assert [line for line in heard if ".letters." in line] == [
        "airflow.reengage.letters.x.rehearsed:7|g"
    ]


def test_nothing_of_a_patient_can_be_a_metric(
    listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    """SEC-10: a name with anything but plain words, or a value that is no number, is refused."""
    for name, value in (((CANARY,), 1), (("letters", CANARY), 1), (("letters",), CANARY)):
        with pytest.raises(ValueError, match="a metric's"):
            Measure(name, value)  # type: ignore[arg-type]
    now = datetime.now(UTC)
    metrics.after(CANARY, "settle", now, {}, failed=False)
    metrics.after("audit", "sweep", now, {CANARY: 1}, failed=False)
    metrics.after("x", "settle", now, {CANARY: 1, "sent": CANARY}, failed=False)
    metrics.after("x", "letter", now, {"sent": 1, CANARY: 2}, failed=False)
    assert CANARY not in "".join(listener.lines("airflow.reengage.step_failures.x.letter"))
    assert "canary" not in caplog.text


def test_where_airflows_metrics_are_off_nothing_is_sent_and_nothing_fails() -> None:
    metrics.after("audit", "verify", datetime.now(UTC), {"entries": 1}, failed=False)


def test_unknown_letters_are_counted_by_age(store_url: str) -> None:
    engine = create_engine(store_url)
    found = of_practice(engine, HOME, load_vendors(HOME / "vendors.yaml").values(), DAY)
    told = {one.dotted: one.value for one in found}
    assert {name: told[f"reengage.unknown.{name}"] for name in measures.AGES} == dict.fromkeys(
        measures.AGES, 0
    )
    assert "reengage.agreement_days.embedded" in told
    days = [age for ages in measures.AGES.values() for age in (ages[0], ages[-1])]
    assert days == sorted(days)
    engine.dispose()


# --- what is told of them ---


def every_measure() -> set[str]:
    """All names, with a campaign and a vendor of the test's."""
    found: list[Measure] = []
    results: dict[str, Any] = {
        "settle": {"sent": 1}, "verify": {"entries": 2}, "checkpoint": {"size": 2},
        "sweep": {"letters": 1},
    }  # fmt: skip
    for task, result in results.items():
        found += of_step("c", task, 1.0, result, failed=False)
        found += of_step("c", task, 1.0, result, failed=False, live=False)
    names = {one.dotted for one in found}
    return (
        names | {f"reengage.unknown.{age}" for age in measures.AGES} | {"reengage.agreement_days.v"}
    )


def test_every_metric_is_mapped_and_its_family_is_on_the_page() -> None:
    page = (HOME / "docs" / "metrics.md").read_text(encoding="utf-8")
    mapping = yaml.safe_load((HOME / "deploy/grafana/statsd-mapping.yaml").read_text())
    patterns = [
        re.compile(one["match"].replace(".", r"\.").replace("*", r"[^.]+"))
        for one in mapping["mappings"]
    ]
    for name in every_measure():
        assert len([p for p in patterns if p.fullmatch(f"airflow.{name}")]) == 1, name
        assert f"reengage.{name.split('.')[1]}" in page


def test_what_is_told_daily_ends_where_nobody_tells_it() -> None:
    """statsd_exporter exports the last value for ever unless a time to live is set."""
    mapping = yaml.safe_load((HOME / "deploy/grafana/statsd-mapping.yaml").read_text())
    lives = {one["name"]: one.get("ttl") for one in mapping["mappings"]}
    for name in ("reengage_unknown", "reengage_agreement_days", "reengage_ledger_$2"):
        assert lives[name] == "26h"


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    board = json.loads((HOME / "deploy/grafana/reengage.json").read_text())
    mapping = yaml.safe_load((HOME / "deploy/grafana/statsd-mapping.yaml").read_text())
    known = {one["name"] for one in mapping["mappings"] if "$" not in one["name"]}
    known |= {f"reengage_ledger_{name.rpartition('.')[2]}" for name in every_measure()
              if ".ledger." in name}  # fmt: skip
    asked = {
        name.removesuffix("_bucket")
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"reengage_[a-z_]+", target["expr"])
    }
    assert asked <= known
    assert {"reengage_letters", "reengage_unknown", "reengage_agreement_days"} <= asked
    boxes = [panel["gridPos"] for panel in board["panels"]]
    assert all(box["x"] + box["w"] <= 24 for box in boxes)
    assert len({panel["id"] for panel in board["panels"]}) == len(boxes)


# --- OpenTelemetry ---

_TELL = """
from datetime import UTC, datetime
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics import stats_utils
from reengage import metrics

stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=False)
now = datetime.now(UTC)
metrics.after("audit", "verify", now, {"entries": 70}, failed=False)
for failed in (True, False):
    metrics.after("x", "send", now, None, failed=failed)
metrics.after("audit", "sweep", now, {"canary.4711@example.org": 1}, failed=False)
"""


@pytest.mark.long
def test_the_same_metrics_go_by_opentelemetry(tmp_path: Path) -> None:
    """By Airflow's own exporter, in a process of its own, to a real collector's end of OTLP."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    bodies: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        subprocess.run(
            [sys.executable, "-c", _TELL], check=True, capture_output=True, timeout=120,
            env={
                **os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__METRICS__OTEL_ON": "True",
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "PYTHONPATH": str(HOME / "plugins"),
            },
        )  # fmt: skip
        server.shutdown()
    told: dict[str, float] = {}
    for body in bodies:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for scope in resource.scope_metrics:
                for one in scope.metrics:
                    points = [*one.gauge.data_points, *one.sum.data_points]
                    told.update((one.name, point.as_double or point.as_int) for point in points)
    assert told["airflow.reengage.ledger.entries"] == 70
    assert told["airflow.reengage.step_failures.x.send"] == 1
    assert b"canary" not in b"".join(bodies)
