"""What `ouzel learn` trains and judges a version on: its options, how many likes, and groups of likes."""

from pathlib import Path

import msgspec
import pytest

from deploy.datasets.dataset import Dataset
from deploy.learning.evidence import Evidence
from deploy.learning.job import MOST_TESTS, Job
from deploy.learning.parts import Places
from deploy.learning.work import LEAST_GROUP, Work
from inference.versions.gates.held_out import HeldOut
from inference.versions.store import RECORD, Kind, Version, VersionStore
from schemas.events import Event, EventKind
from schemas.items import Item

CUT = 1_000
LABELS = {"few": LEAST_GROUP - 1, "enough": LEAST_GROUP, "many": 2 * LEAST_GROUP}


def items() -> tuple[Item, ...]:
    """For each label the items that have it, one for each like; the first of each also has the label "both"."""
    return tuple(
        Item(id=f"{label}-{n}", title=f"{label} {n}", attributes=(label, *(["both"] if n == 0 else [])))
        for label, count in LABELS.items()
        for n in range(count)
    )


def events(scenes: tuple[str, ...]) -> tuple[Event, ...]:
    """Each item is liked once after the cut, by its own user, who liked another one before it."""
    before = [
        Event(id=f"old-{n}", user=f"u{n}", kind=EventKind.LIKE, ts=n, item="many-0", scene=scenes[n % len(scenes)])
        for n in range(len(items()))
    ]
    after = [
        Event(
            id=f"new-{n}", user=f"u{n}", kind=EventKind.LIKE, ts=CUT + 1 + n, item=item.id,
            scene=scenes[n % len(scenes)],
        )
        for n, item in enumerate(items())
        if item.id != "many-0"
    ]  # fmt: skip
    return (*before, *after)


def judged_on(
    folder: Path, groups: tuple[str, ...], scenes: tuple[str, ...] = ("home",), tests: int = MOST_TESTS
) -> tuple[Work, HeldOut]:
    """What version 2, which learned up to the cut, is judged on."""
    store = VersionStore(folder / "versions")
    record = Version(
        number=2, name="v-2", parent=1, kind="full", made_ms=CUT, cut_ms=CUT, events=1, likes=1, tests=1
    )  # fmt: skip
    with store.written(2) as made:
        (made / RECORD).write_bytes(msgspec.json.encode(record))
    places = Places(
        log=str(folder),
        store=store,
        repository=folder,
        triton="",
        control_key=folder / "key",
        groups=groups,
        tests=tests,
    )
    work = Work(msgspec.json.decode(msgspec.json.encode(places.job(work="judge", number=2, other=1)), type=Job))
    work.evidence = Evidence(Dataset(items(), events(scenes), "made up"), {}, ())
    work.feedback = []
    return work, work.evidence_of(2)


@pytest.mark.parametrize("kind", ["full", "items"])
def test_training_ends_in_time(tmp_path: Path, kind: Kind) -> None:
    places = Places(
        log="", store=VersionStore(tmp_path), repository=tmp_path, triton="", control_key=tmp_path, seconds=12.0
    )
    assert Work(places.job(work="train", kind=kind, number=2, other=1)).options.effort.seconds == 12.0


def test_sample_of_the_likes_judges_where_there_are_many(tmp_path: Path) -> None:
    _, every = judged_on(tmp_path / "every", ())
    _, some = judged_on(tmp_path / "some", (), tests=40)
    assert len(every.tests) > len(some.tests) == 40
    assert set(some.tests.tolist()) < set(every.tests.tolist())


def test_likes_are_grouped_by_the_labels_that_were_asked_for(tmp_path: Path) -> None:
    _, held = judged_on(tmp_path, ("many", "enough"))
    assert {name: int(inside.sum()) for name, inside in held.groups.items()} == {"many": 59, "enough": 30}
    liked = [held.histories.items[at] for at in held.histories.item[held.tests]]
    for name, inside in held.groups.items():
        assert inside.tolist() == [item.startswith(name) for item in liked]


def test_group_of_too_few_likes_is_left_out(tmp_path: Path) -> None:
    _, held = judged_on(tmp_path, ("few", "both", "enough", "unknown"))
    assert set(held.groups) == {"enough"}


def test_scenes_are_groups_where_there_are_several(tmp_path: Path) -> None:
    _, one = judged_on(tmp_path / "one", ())
    _, two = judged_on(tmp_path / "two", (), scenes=("home", "car"))
    assert set(one.groups) == set()
    assert {name: int(inside.sum()) for name, inside in two.groups.items()} == {"scene home": 60, "scene car": 58}
