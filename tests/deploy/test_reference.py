"""The generated pages of docs/ are what the code generates now."""

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest

from deploy.reference.commands import commands_page
from deploy.reference.decisions import with_index
from deploy.reference.pages import pages

ROOT = Path(__file__).parents[2]
PAGES = pages(ROOT)
DECISION = "# 0007: Count once\n\nDate: 2026-11-27\nStatus: accepted\n\nText.\n"
INDEX = "Before.\n\n<!-- table: decisions -->\nOld.\n<!-- end -->\n\nAfter.\n"


@pytest.mark.parametrize("path", PAGES)
def test_generated_page_is_not_stale(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == PAGES[path], "run `make docs` and commit what it writes"


def test_commands_page_does_not_depend_on_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUZEL_BROKERS", "broker.example:9093")
    monkeypatch.setenv("OUZEL_WEB_PORT", "none")
    assert pages(ROOT) == PAGES


def test_commands_page_shows_arguments_options_and_defaults() -> None:
    @click.group()
    def tool() -> None:
        """A tool."""

    @tool.command()
    @click.argument("name")
    @click.option("--mode", type=click.Choice(["a", "b"]), default="a", show_default=True, help="Which <one>.")
    def go(name: str, mode: str) -> None:
        """Go to NAME."""

    page = commands_page(tool)
    assert "## ouzel go\n\n```text\nouzel go [OPTIONS] NAME\n```\n\nGo to NAME." in page
    assert r"| `--mode [a\|b]` | Which &lt;one>.  [default: a] |" in page


def test_metrics_page_has_both_planes() -> None:
    page = PAGES["docs/reference/metrics.md"]
    for name in ("ouzel_events_total", "ouzel_event_to_list_seconds", "ouzel_items_read_total"):
        assert f"| `{name}` |" in page


def test_index_lists_a_decision(tmp_path: Path) -> None:
    (tmp_path / "0007-count-once.md").write_text(DECISION)
    made = with_index(INDEX, tmp_path)
    assert "| [0007](0007-count-once.md) | Count once | 2026-11-27 | accepted |" in made
    assert "Old." not in made
    assert made.startswith("Before.")
    assert made.endswith("After.\n")


def test_index_refuses_a_decision_without_a_date(tmp_path: Path) -> None:
    (tmp_path / "0007-count-once.md").write_text(DECISION.replace("Date: ", "Day: "))
    with pytest.raises(ValueError, match="0007-count-once"):
        with_index(INDEX, tmp_path)


def test_index_needs_a_place_for_the_table(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no place"):
        with_index("Nothing.", tmp_path)


def test_description_of_topics_refers_to_what_it_has() -> None:
    described: Any = json.loads(PAGES["docs/reference/asyncapi.json"])
    assert {"ouzel.events", "ouzel.recommendations"} <= set(described["channels"])
    assert "ouzel.contexts" not in described["channels"], "private to workers"
    assert described["operations"]["readEvents"]["action"] == "receive"
    assert described["operations"]["writePrivacyReceipts"]["action"] == "send"
    references = re.findall(r'"\$ref": "#/([^"]+)"', PAGES["docs/reference/asyncapi.json"])
    assert references
    for reference in references:
        part = described
        for name in reference.split("/"):
            part = part[name]
