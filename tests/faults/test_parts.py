"""The parts of the harness that work on files and bytes."""

import re
from pathlib import Path
from random import Random

import pytest

from inference.versions.store import VersionStore
from schemas.codec import decode_event
from schemas.errors import Refused
from schemas.recommendations import Entry, Reason, Recommendation
from tests.faults import placing
from tests.faults.learner import partial, wrong_outcome
from tests.faults.load import now_ms, partitioner
from tests.faults.monitor import RULES, accelerated
from tests.faults.operator import ALERT, SIGNS, silent
from tests.faults.schedule import Kind
from tests.faults.scorer import Scorer
from tests.faults.scripts import APART, version_name, version_of
from tests.faults.strikes.disks import damage
from tests.faults.strikes.inputs import poisonous
from tests.faults.watch import versions_of
from tests.faults.worker import stepping
from tests.support.learning_parts import write_version

PROMOTED = [(3, "made"), (3, "shadow"), (3, "canary"), (3, "champion"), (1, "retired")]
"""The records of a version that takes the place of version 1."""


def test_poisonous_records_are_all_refused() -> None:
    for key, value in poisonous(Random(1), 1):
        with pytest.raises(Refused):
            decode_event(value, key=key, now_ms=now_ms())


def test_damage_covers_every_sort(tmp_path: Path) -> None:
    done = set()
    for seed in range(40):
        state = tmp_path / str(seed)
        state.mkdir()
        for number in range(3):
            (state / f"{number}.sst").write_bytes(bytes(1_000))
        before = {path.name: path.read_bytes() for path in state.iterdir()}
        done.add(damage(state, Random(seed)))
        after = {path.name: path.read_bytes() for path in state.iterdir()} if state.exists() else {}
        assert after != before
    assert done == {"cut", "overwrite", "delete", "lose"}


def test_clock_is_off_by_the_offset_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    assert stepping(file)() == 0.0
    file.write_text("-30.5")
    assert stepping(file)() == -30.5


def test_accelerated_rules_keep_their_expressions() -> None:
    rules = accelerated(RULES.read_text())
    assert not re.search(r"for: \d+m|\[\d+[mh]\]", rules)
    assert rules.count("alert:") == RULES.read_text().count("alert:")
    assert rules.count("expr:") == RULES.read_text().count("expr:")


def test_signs_of_a_fault_are_required() -> None:
    signs = ["log: gone", "ouzel_lost_records_total"]
    assert silent(Kind.RETENTION_GAP, signs, alerts=True) == []
    assert silent(Kind.RETENTION_GAP, signs[:1], alerts=True) == ["metric"]
    assert silent(Kind.PERMISSION_REVOKED, signs, alerts=True) == ["alert"]
    assert silent(Kind.PERMISSION_REVOKED, signs, alerts=False) == []
    assert silent(Kind.WORKER_KILLED, [], alerts=True) == ["anything"]
    assert silent(Kind.CODEC, [], alerts=True) == []


def test_added_partitions_get_none_of_the_load() -> None:
    keys = [f"user-{n}".encode() for n in range(200)]
    before = [partitioner(key, [0, 1, 2, 3], [0, 1, 2, 3]) for key in keys]
    assert [partitioner(key, [5, 4, 3, 2, 1, 0], [5]) for key in keys] == before
    assert set(before) == {0, 1, 2, 3}


def test_alerts_that_reveal_faults_are_among_the_rules() -> None:
    rules = RULES.read_text()
    alerts = [sign.removeprefix(ALERT).split()[0] for signs in SIGNS.values() for sign in signs if ALERT in sign]
    assert alerts
    assert [alert for alert in alerts if f"alert: {alert}\n" not in rules] == []


def test_score_tells_its_version() -> None:
    for number in (1, 2, 17):
        for place in (0, 1, 39, APART - 1):
            assert version_of(float(-number * APART - place)) == version_name(number)


def test_incomplete_version_in_the_repository_is_found(tmp_path: Path) -> None:
    scorer = Scorer(tmp_path)
    folder = scorer.repository / "scorer"
    assert placing.incomplete(scorer.repository, scorer.adapter) == []
    (folder / "2" / "adapter" / "adapter.safetensors").unlink()
    (folder / "3").mkdir()
    (scorer.repository / "version-4").mkdir()
    found = placing.incomplete(scorer.repository, scorer.adapter)
    assert set(found) == {
        f"{folder / '2'} has another adapter",
        f"{folder} has 3",
        f"{scorer.repository} has version-4",
    }


def test_learner_whose_records_are_those_of_its_verdicts_is_right() -> None:
    assert wrong_outcome(3, 1, {3: ["shadow", "canary", "promoted"], 1: ["retired"]}, PROMOTED) == []
    assert wrong_outcome(3, 1, {3: ["shadow", "rejected"]}, [(3, "made"), (3, "shadow"), (3, "retired")]) == []
    assert wrong_outcome(3, 1, {3: ["rejected"]}, [(3, "made"), (3, "shadow"), (3, "retired")]) == []


@pytest.mark.parametrize(
    ("verdicts", "records", "why"),
    [
        ({3: ["shadow", "canary", "canary", "promoted"], 1: ["retired"]}, PROMOTED, "a verdict twice"),
        ({3: ["shadow", "canary", "promoted"], 1: ["retired"]}, PROMOTED[:1] + PROMOTED, "the roles were"),
        ({3: ["shadow", "canary", "promoted"], 1: ["retired"]}, PROMOTED[:-1], "the roles were"),
        ({3: ["shadow", "promoted"], 1: ["retired"]}, PROMOTED, "the roles were"),
        ({3: ["shadow", "canary", "promoted"]}, PROMOTED, "the champion before"),
        (
            {3: ["shadow", "rejected"], 1: ["retired"]},
            [(3, "made"), (3, "shadow"), (3, "retired")],
            "the champion before",
        ),
        ({3: ["shadow", "canary"]}, PROMOTED[:3], "no outcome"),
        ({3: ["shadow", "canary", "promoted"], 1: ["retired"], 4: ["rejected"]}, PROMOTED, "which was not made"),
    ],
)
def test_learner_whose_records_differ_from_its_verdicts_is_found(
    verdicts: dict[int, list[str]], records: list[tuple[int, str]], why: str
) -> None:
    assert why in "; ".join(wrong_outcome(3, 1, verdicts, records))


def test_version_that_is_there_in_part_is_found(tmp_path: Path) -> None:
    store, trained = VersionStore(tmp_path / "versions"), tmp_path / "trained"
    trained.mkdir()
    (trained / "adapter.json").write_bytes(b"{}")
    for number in (2, 3):
        with store.written(number) as folder:
            write_version(folder, number)
            (folder / "adapter").mkdir()
            (folder / "adapter" / "adapter.json").write_bytes(b"{}")
    assert partial(store, trained) == []
    (store.folder(2) / "adapter" / "adapter.json").write_bytes(b"{")
    (store.folder(3) / "gates.json").write_bytes(b"[{")
    found = partial(store, trained)
    assert len(found) == 2
    assert found[0] == f"version 2 of {store.root} is not whole"
    assert "gates.json" in found[1]


def test_list_tells_the_versions_of_its_scores() -> None:
    reason = Reason(code="fresh", text="")

    def made(*models: float | None) -> Recommendation:
        entries = tuple(
            Entry(item=f"film-{n}", score=0, behavioural=0, propensity=1, sources=(), reason=reason, model=model)
            for n, model in enumerate(models)
        )
        return Recommendation(
            id="l", user="ann", scene="home", ts=1, trigger="e", partition=0, offset=0, entries=entries,
            freshness_ms=0, took_ms=0,
        )  # fmt: skip

    assert versions_of(made(-1_000.0, -1_039.0, 0.3, -0.7, None)) == {"scripted-1"}
    assert versions_of(made(-1_003.0, -2_001.0)) == {"scripted-1", "scripted-2"}
