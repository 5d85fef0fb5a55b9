"""What `ouzel models` prints."""

import io
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from rich.console import RenderableType

from deploy.cli import cli
from deploy.learning.tables import ago, details, differences, learned_by, listing
from deploy.local.terminal import Terminal
from inference.triton.ports import free_ports
from inference.versions.rules import Rules
from inference.versions.state import State
from tests.support.told_store import NOW, told, written

RULES = Rules()


@pytest.fixture
def state(tmp_path: Path) -> State:
    return told(written(tmp_path), RULES)


def printed(what: RenderableType, width: int = 160) -> str:
    out = io.StringIO()
    Terminal(file=out, width=width).print(what)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def row(text: str, first: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(first))


def test_list_says_what_makes_lists_and_where_each_version_stands(state: State) -> None:
    text = printed(listing(state, RULES, NOW))
    assert "Version 4 makes the lists (2 of 2 live workers)." in text
    assert "Version 6 is tried as a canary for 10% of users (1 of 2 live workers, 1,191 lists shown)." in text
    for number, said in {
        "6": "canary", "5": "withdrawn", "4": "champion", "3": "rejected", "2": "retired", "1": "retired"
    }.items():  # fmt: skip
        assert said in row(text, number)
    assert "2 of 3" in row(text, "3")
    assert "gate next item: HR@10 of .241 against .262" in row(text, "3")
    assert "-0.080 (-0.148 to -0.012)" in row(text, "5")


def test_list_before_the_first_role_says_so() -> None:
    assert "No version has a role yet" in printed(listing(State(), RULES, NOW))


def test_details_show_lineage_gates_and_verdicts_with_intervals(state: State) -> None:
    text = printed(details(state, 3, RULES, NOW))
    assert "read 3,312 to 6,623 of partition 3 of ouzel.events" in text
    assert "Trained from version 2 (all parameters) 1 d ago" in text
    assert "FAILED" in row(text, "next item")
    text = printed(details(state, 5, RULES, NOW))
    verdict = next(line for line in text.splitlines() if "withdrawn" in line and "812" in line)
    assert "-0.080 (-0.148 to -0.012)" in verdict
    assert "4,018" in verdict
    text = printed(details(state, 6, RULES, NOW))
    assert "canary so far" in text
    assert "triton build" in printed(details(state, 1, RULES, NOW))


def test_diff_shows_both_sides(state: State) -> None:
    text = printed(differences(state, 3, 4))
    assert "items" in row(text, "kind")
    assert "gate next item" in text
    assert "version 4 learned 6,624 to 9,935 of partition 0 of ouzel.events" in text


def test_record_is_traced_to_the_versions_that_learned_it(state: State) -> None:
    assert learned_by(state, "ouzel.events", 3, 0) == [2, 3, 4, 5, 6]
    assert learned_by(state, "ouzel.events", 3, 3_312 * 3) == [5]
    assert learned_by(state, "ouzel.events", 1, 0) == []
    assert learned_by(state, "ouzel.feedback", 3, 0) == []


def test_control_characters_of_a_reason_are_not_printed(state: State) -> None:
    verdict = msgspec.structs.replace(state.versions[5].verdicts[-1], reason="\x1b[31mred")
    state.versions[5] = msgspec.structs.replace(state.versions[5], verdicts=(verdict,))
    for what in (listing(state, RULES, NOW), details(state, 5, RULES, NOW)):
        assert "\x1b" not in printed(what)
        assert "red" in printed(what)


@pytest.mark.parametrize(("ms", "text"), [(-5, "0 s ago"), (59_999, "59 s ago"), (3_600_000, "1 h ago")])
def test_durations_are_short(ms: int, text: str) -> None:
    assert ago(ms) == text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["show"], "give a version's number, or --event"),
        (["show", "3", "--event", "0:1"], "give a version's number, or --event"),
        (["canary", "3", "--share", "0.9"], "0.9 is not in the range"),
        (["diff", "3"], "Missing argument"),
    ],
)
def test_wrong_arguments_are_refused(given: list[str], said: str) -> None:
    result = CliRunner().invoke(cli, ["models", *given])
    assert result.exit_code == 2
    assert said in result.output


def test_rules_that_contradict_each_other_are_refused() -> None:
    result = CliRunner().invoke(cli, ["learn", "--canary-likes", "5000"])
    assert result.exit_code == 2
    assert "above canary_limit, 2,000" in result.output


def test_brokers_that_do_not_answer_are_named(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    result = CliRunner().invoke(
        cli, ["models", "list", "--versions", str(tmp_path), "--brokers", address, "--timeout", "1"]
    )
    assert f"no broker answers at {address}" in str(result.exception)
