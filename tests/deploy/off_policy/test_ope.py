"""`ouzel ope` on a training log of lists that explored, and on files."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from deploy import cli
from deploy.errors import BadSource
from deploy.off_policy.decision_log import places_of
from deploy.off_policy.popularity import popularity
from deploy.off_policy.replayed import NO_MODEL, replayed
from deploy.off_policy.run import POPULARITY, Targets, compare_file, compare_log, parsed
from deploy.off_policy.training_log import Logged, read_training_log
from deploy.off_policy.versions import version_scores
from inference.off_policy.comparison import CASCADE, LOGGED, Options
from inference.off_policy.logs import joined
from inference.versions.store import VersionStore
from schemas.feedback import Feedback
from tests.benchmarks.ope import own_log
from tests.support import explored_log
from tests.support.tiny_repository import tiny_repository

TODAY = date(1970, 1, 1) + timedelta(days=explored_log.DAY + 1)


def read(root: Path, *, newest: int = 20_000, window_ms: int = explored_log.WINDOW_MS) -> Logged:
    return read_training_log(
        str(root), explored_log.ITEMS, today=TODAY, days=30, newest=newest, places=2, window_ms=window_ms
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    explored_log.write(folder, 120, 1)
    return folder


@pytest.fixture(scope="module")
def logged(root: Path) -> Logged:
    return read(root)


def test_estimates_have_the_replayed_values_in_their_intervals(logged: Logged) -> None:
    rows, same = own_log.checked(logged, explored_log.WINDOW_MS, temperature=1.0, seed=0)
    assert same == 1.0
    decisive = [row for row in rows if row.estimator == CASCADE]
    assert {row.policy for row in decisive} == {NO_MODEL, POPULARITY}
    for row in decisive:
        assert row.agrees, row
        assert row.effective > 100


def test_lists_are_joined_with_what_they_earned(logged: Logged) -> None:
    events = {(one.user, one.item) for one in logged.events}
    rewards = logged.log.lists.rewards
    assert 0 < rewards.sum() < len(logged.lists)
    for row, at in zip(*np.nonzero(rewards), strict=True):
        assert (logged.lists[row].user, logged.log.names[logged.log.items[row, at]]) in events
    assert (logged.log.lists.propensities < 1).all()


def test_open_lists_are_left_out_and_counted(root: Path) -> None:
    every = read(root, window_ms=86_400_000 // 8)
    assert 0 < len(every.lists) < 120 * 8
    assert f"{120 * 8 - len(every.lists)} from before these days or whose outcome is not known yet" in every.log.note
    some = read(root, newest=100, window_ms=86_400_000 // 8)
    assert len(some.lists) == 100
    assert some.lists[-1] == every.lists[-1]
    with pytest.raises(BadSource, match="--days"):
        read_training_log(
            str(root), explored_log.ITEMS, today=TODAY + timedelta(days=60), days=2, newest=10, places=1, window_ms=1
        )


def test_broken_lists_are_counted() -> None:
    good = next(one for one in explored_log.explored(1, 0) if isinstance(one, Feedback))
    change = msgspec.structs.replace
    zero = change(good, list="z", shown=(change(good.shown[0], propensity=0.0),))
    twice = change(good, list="t", shown=good.shown[:1] * 2)
    bare = change(good, list="b", shown=())
    found = joined([good, zero, twice, bare], {"u-0": good.ts - 1})
    assert (len(found.lists), found.broken, found.bare, found.erased) == (1, 2, 1, 0)
    assert joined([good], {"u-0": good.ts}).erased == 1


def test_scores_know_nothing_of_later_events(logged: Logged) -> None:
    first = list(replayed(logged.lists[:40], logged.events, logged.items, 1.0))
    end = logged.lists[39].published
    earlier = [event for event in logged.events if event.ts <= end]
    again = list(replayed(logged.lists[:40], earlier, logged.items, 1.0))
    for one, other in zip(first, again, strict=True):
        for name in (NO_MODEL, POPULARITY):
            assert np.array_equal(one[name].numbers, other[name].numbers)
            assert np.array_equal(one[name].scores, other[name].scores)
            assert (np.diff(one[name].numbers) > 0).all()


def test_popularity_of_a_file_counts_earlier_rewards_only(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("item,reward,propensity\na,1,0.5\nb,0,0.5\na,1,0.5\n")
    _, log = compare_file(path, Targets((POPULARITY,)), Options(), 0, columns={}, places=None)
    scores = [each[POPULARITY].scores.tolist() for each in popularity(log, 1.0)]
    assert scores == [[0.0, 0.0], pytest.approx([np.log(2), 0.0]), pytest.approx([np.log(2), 0.0])]


def test_logs_without_exploration_are_said_to_tell_nothing(tmp_path: Path) -> None:
    explored_log.write(tmp_path, 40, 1, explores=False)
    found = compare_log(read(tmp_path), Targets((NO_MODEL, POPULARITY)), Options(), 0)
    assert found.certain == 1.0
    for verdict in found.verdicts:
        assert verdict.says == "unknown"
        assert "no choice was random" in verdict.why[0]


def test_version_scores_what_its_user_has_not_met(logged: Logged, tmp_path: Path) -> None:
    repository = tiny_repository(tmp_path)
    few = Logged(logged.log, logged.lists[:3], logged.events, logged.items)
    scored = list(version_scores(1, few, VersionStore(tmp_path / "versions"), repository, 1.0))
    assert len(scored) == 3
    for one, each in zip(few.lists, scored, strict=True):
        numbers, scores = each["version:1"]
        met = {event.item for event in few.events if event.user == one.user and event.ts <= one.published}
        assert met
        assert {few.items[number].id for number in numbers} == {item.id for item in few.items} - met
        assert np.isfinite(scores).all()
    with pytest.raises(BadSource, match="no version 7"):
        list(version_scores(7, few, VersionStore(tmp_path / "versions"), repository, 1.0))


def test_places_of_items_among_candidates() -> None:
    assert places_of(np.array([5, 9, 1]), np.array([1, 3, 5])).tolist() == [2, -1, 0]
    assert places_of(np.array([5]), np.zeros(0, np.int64)).tolist() == [-1]


def ouzel(arguments: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    monkeypatch.setattr("sys.argv", ["ouzel", "ope", *arguments])
    monkeypatch.setenv("COLUMNS", "160")
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err
    assert ended.value.code in {0, None} or not out
    return out, err


def test_command_reports_a_training_log(
    root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    items = tmp_path / "items.csv"
    items.write_text("id,title\n" + "".join(f"{item.id},{item.title}\n" for item in explored_log.ITEMS))
    target = tmp_path / "uniform.csv"
    target.write_text("item,probability\n" + "".join(f"{item.id},{1 / 32}\n" for item in explored_log.ITEMS))
    days = (datetime.now(UTC).date() - TODAY).days + 30
    out, _ = ouzel(
        ["--log", str(root), "--items", str(items), "--days", str(days), "--window", "300", "--places", "1",
         "--temperature", "1", "--target", "no-model", "--target", "popularity", "--target", f"uniform={target}",
         "--anytime", "--json", str(tmp_path / "report.json")],
        capfd, monkeypatch,
    )  # fmt: skip
    report = json.loads((tmp_path / "report.json").read_text())
    assert {each["policy"] for each in report["estimates"]} == {LOGGED, NO_MODEL, POPULARITY, "uniform"}
    assert [each["policy"] for each in report["verdicts"]] == [NO_MODEL, POPULARITY, "uniform"]
    for each in report["verdicts"]:
        assert each["verdict"] in {"better", "worse", "undecided", "unknown"}
        low, high = each["anytime"]
        assert 0 <= low < high <= 1
        assert each["policy"] in out
    assert "effective" in out
    assert "left out" in out


def test_command_reports_a_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "log.csv"
    rows = "".join(f"{item},{int(rng.random() < 0.2 + 0.1 * item)},0.2\n" for item in rng.integers(0, 5, 2_000))
    path.write_text("product,joy,p\n" + rows)
    good = tmp_path / "good.csv"
    good.write_text("item,probability\n4,0.8\n3,0.2\n")
    arguments = ["--decisions", str(path), "--column", "reward=joy", "--column", "propensity=p"]
    out, _ = ouzel([*arguments, "--target", f"good={good}"], capfd, monkeypatch)
    assert "good earns more than the logged policy (doubly robust)" in out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "give --log ROOT or --decisions FILE"),
        (["--decisions", "FILE", "--target", "best"], "--target takes"),
        (["--decisions", "FILE", "--target", "no-model"], "need --log"),
        (["--decisions", "FILE", "--target", "version:2"], "need --log"),
        (["--decisions", "FILE", "--target", "x=nowhere.csv"], "nowhere.csv"),
        (["--decisions", "FILE", "--column", "joy=b"], "ROLE=NAME"),
        (["--decisions", "FILE", "--items", "FILE"], "--items goes with --log"),
        (["--log", "nowhere", "--items", "FILE", "--column", "item=a"], "--column goes with --decisions"),
        (["--log", "nowhere", "--items", "CATALOGUE"], "no list of the last 30 days"),
        (["--decisions", "FILE", "--clip", "nan"], "finite"),
        (["--decisions", "FILE", "--places", "0"], "--places"),
    ],
)
def test_unusable_options_are_refused_in_a_sentence(
    arguments: list[str], why: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OUZEL_TRAINING_LOG", raising=False)
    Path("FILE").write_text("item,reward,propensity\na,1,0.5\n")
    Path("CATALOGUE").write_text("id,title\na,Alien\n")
    _, err = ouzel(arguments, capfd, monkeypatch)
    assert why in " ".join(err.replace("│", " ").split())


def test_usual_targets() -> None:
    assert parsed((), 0.5, of_file=False).named == (NO_MODEL, POPULARITY)
    assert parsed((), 0.5, of_file=True).named == (POPULARITY,)
    found = parsed(("version:3", "a=b=c", "version:3"), 0.5, of_file=False)
    assert (found.versions, dict(found.files)) == ((3,), {"a": Path("b=c")})
