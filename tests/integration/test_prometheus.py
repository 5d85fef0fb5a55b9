"""A real Prometheus scrapes a worker, loads the rules we ship, and answers the questions that an operator asks."""

import json
import re
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from deploy.learning.metrics import LearnerMetrics
from deploy.local.brokers import Broker
from deploy.local.processes import Child
from inference.triton.ports import free_ports
from schemas.codec import encode
from schemas.recommendations import Recommendation
from schemas.topics import EVENTS, RECOMMENDATIONS
from streams.metrics import Metrics
from tests.support.parts import need_program, need_prometheus
from tests.support.patience import PATIENCE
from tests.support.pipeline import Pipeline, click, films

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
RULES_TEST = Path(__file__).with_name("alerts.yml")


def exported() -> set[str]:
    """The names of every series that a worker or a learner exports, before anything has happened."""
    return {sample.name for family in families() for sample in family.samples}


def labelled() -> set[str]:
    """Those of metrics that have no series yet, because their label is a partition or a measure."""
    return {family.name for family in families() if not family.samples}


def families() -> list[Any]:
    return [*Metrics().registry.collect(), *LearnerMetrics().registry.collect()]


def test_every_series_in_a_rule_is_one_we_export() -> None:
    named = set(re.findall(r"\bouzel_[a-z_]+", "\n".join(expressions())))
    assert named
    assert named <= exported() | labelled()


def expressions() -> list[str]:
    """What the rules ask Prometheus, one line or several each."""
    return re.findall(r"expr:((?:.|\n)*?)\n\s+(?:for:|annotations:|- )", RULES.read_text())


def test_every_label_in_a_rule_is_one_of_its_metric() -> None:
    labels = {family.name: set(child._labelnames) for child, family in metrics_with_labels()}
    selected = re.findall(r"\b(ouzel_[a-z_]+?)(?:_total|_bucket)?\{([^}]*)\}", "\n".join(expressions()))
    assert selected
    for name, matchers in selected:
        assert set(re.findall(r"(\w+)\s*[!=]", matchers)) <= labels[name], name
    summed = re.findall(
        r"\((?:increase\()?(ouzel_[a-z_]+?)(?:_total|_bucket)?(?![a-z_])[^)]*\)+ by \(([^)]*)\)",
        "\n".join(expressions()),
    )
    assert {name for name, _ in summed} >= {"ouzel_unserved", "ouzel_restarted_partitions", "ouzel_learn_drift"}
    for name, by in summed:
        assert set(by.split(", ")) <= labels[name] | {"le", "instance"}, name


def metrics_with_labels() -> list[tuple[Any, Any]]:
    """Each metric with what it is as a family."""
    both = (*vars(Metrics()).values(), *vars(LearnerMetrics()).values())
    return [(each, each.describe()[0]) for each in both if hasattr(each, "_labelnames")]


def test_each_fault_that_lasts_has_an_alert_that_fires(tmp_path: Path) -> None:
    promtool = need_program("promtool", "Install it: apt-get install prometheus.")
    for each in (RULES, RULES_TEST):
        (tmp_path / each.name).write_text(each.read_text())
    done = subprocess.run(
        [promtool, "test", "rules", RULES_TEST.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.kafka
async def test_prometheus_scrapes_a_worker_and_answers(own_broker: Broker, tmp_path: Path) -> None:
    program = need_prometheus()
    with Pipeline(own_broker, tmp_path, triton="") as path:
        await path.prepare(films())
        path.start()
        await path.send(EVENTS, [("u", encode(click("u", f"film-{n}", n))) for n in range(5)])
        await path.send(EVENTS, [("u", b"\xc1")])
        await path.read(RECOMMENDATIONS, Recommendation, lambda out: any(r.trigger == "u-4" for r in out))
        port = free_ports(1)[0]
        config = tmp_path / "prometheus.yml"
        config.write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": "1s"},
                    "rule_files": [str(RULES)],
                    "scrape_configs": [
                        {"job_name": "ouzel", "static_configs": [{"targets": [f"127.0.0.1:{path.settings.web.port}"]}]}
                    ],
                }
            )
        )
        command = [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]

        def get(path: str) -> Any:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=60) as reply:
                return json.load(reply)["data"]

        def ask(query: str) -> float | None:
            found = get("query?" + urllib.parse.urlencode({"query": query}))["result"]
            return float(found[0]["value"][1]) if found else None

        with Child("Prometheus", command, log=tmp_path / "prometheus.log") as prometheus:
            prometheus.wait_ready(lambda: ask("up") == 1.0, PATIENCE)
            assert ask("sum(ouzel_events_total)") == 5.0
            assert ask('sum(ouzel_events_total{kind="click"})') == 5.0
            assert ask('ouzel_dead_letters_total{code="malformed"}') == 1.0
            assert (ask('ouzel_lists_total{degraded="disabled"}') or 0) >= 1.0
            assert (ask("histogram_quantile(0.95, ouzel_event_to_list_seconds_bucket)") or 0) > 0.0
            assert ask("sum(ouzel_lag_records)") == 0.0
            assert (ask("sum(ouzel_state_bytes)") or 0) > 0.0
            rules = [rule for group in get("rules")["groups"] for rule in group["rules"]]
            assert rules
            assert all(rule["health"] != "err" for rule in rules)
