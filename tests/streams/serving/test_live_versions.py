"""The versions in use follow from the topic's records, the same for an early and a late reader; switches fetch
nothing."""

from hypothesis import given
from hypothesis import strategies as st

from inference.scorers.scripted import ScriptedScorer
from schemas.models import ModelAck, Role
from streams.clock import Clock
from streams.items.catalogue import Catalogue
from streams.metrics import Metrics
from streams.serving.live_versions import MOST_STATUSES, SWITCH_SECONDS, LiveVersions
from tests.support.pipeline import films
from tests.support.roles import record, versions

SHADOW, CANARY, CHAMPION, RETIRED = Role.SHADOW, Role.CANARY, Role.CHAMPION, Role.RETIRED


class Bench:
    """The versions of a worker with 40 items, on a clock that the test moves."""

    def __init__(self, scorer: ScriptedScorer | None = None) -> None:
        self.now = 0.0
        self.catalogue = Catalogue()
        for film in films():
            self.catalogue.add(film)
        self.metrics = Metrics()
        self.changes = 0
        clock = Clock(now_ms=lambda: int(self.now * 1000), monotonic=lambda: self.now)
        self.live = LiveVersions(self.catalogue, self.metrics, clock, self._changed)
        self.scorer = scorer or versions(1, 2, 3)

    def _changed(self) -> None:
        self.changes += 1

    def gives(self, *roles: tuple[Role, int], share: float = 0.0) -> None:
        for role, number in roles:
            self.live.apply(0, *record(role, number, share=share))

    async def describe(self, most: int = 1_000) -> None:
        """Describe up to `most` items of each version in use."""
        for each in self.live.described():
            asked = each.vectors.next(min(most, 40))
            if asked:
                items = [self.catalogue.described(number) for number in asked]
                each.vectors.put(asked, await self.scorer.describe(items, timeout=1.0, number=each.number))
        self.live.look()

    @property
    def used(self) -> tuple[str, str | None]:
        challenger = self.live.challenger()
        return self.live.champion().version, None if challenger is None else challenger.version

    def ack(self) -> ModelAck:
        return self.live.ack("w", 7)

    def roles(self) -> set[tuple[str, str]]:
        (family,) = [each for each in self.metrics.registry.collect() if each.name == "ouzel_model_roles"]
        return {(sample.labels["version"], sample.labels["role"]) for sample in family.samples}


def test_model_is_asked_without_a_number_until_a_record_names_a_champion() -> None:
    bench = Bench()
    champion = bench.live.of_list("ann")
    assert (champion.version, champion.number, champion.vectors) == ("", None, bench.catalogue.vectors)
    assert bench.ack() == ModelAck(worker="w", behind=7, ts=0)
    bench.gives((CHAMPION, 1))
    assert (bench.live.of_list("ann").version, bench.live.of_list("ann").number) == ("v1", 1)


async def test_challenger_gets_vectors_and_becomes_the_champion_without_a_fetch() -> None:
    bench = Bench()
    bench.gives((CHAMPION, 1), (SHADOW, 2))
    assert bench.ack() == ModelAck(worker="w", behind=7, ts=0, champion="v1", challenger="v2", lacking=40)
    await bench.describe()
    assert bench.ack().lacking == 0
    assert bench.live.opponent(bench.live.champion()) is not None
    asked = len(bench.scorer.described)
    bench.gives((CHAMPION, 2))
    assert bench.used == ("v2", None)
    assert (bench.live.champion().vectors.version, bench.live.champion().vectors.waiting) == ("v2", 0)
    bench.gives((CHAMPION, 1))
    assert (bench.used, bench.live.champion().vectors.waiting) == (("v1", None), 0), "the one before is still held"
    assert len(bench.scorer.described) == asked


async def test_vectors_of_a_retired_champion_are_dropped() -> None:
    bench = Bench()
    bench.gives((CHAMPION, 1), (SHADOW, 2))
    await bench.describe()
    bench.gives((CHAMPION, 2))
    assert bench.catalogue.second is not None
    bench.gives((RETIRED, 1))
    assert bench.catalogue.second is None
    assert bench.used == ("v2", None)


async def test_champion_without_vectors_takes_over_once_they_are_complete() -> None:
    bench = Bench()
    bench.gives((CHAMPION, 1))
    await bench.describe()
    bench.gives((CHAMPION, 3))
    assert bench.live.of_list("ann").version == "v1"
    assert bench.ack().champion == "v1"
    await bench.describe(most=39)
    assert (bench.live.of_list("ann").version, bench.ack().lacking) == ("v1", 1)
    await bench.describe()
    assert bench.live.of_list("ann").version == "v3"
    assert bench.live.of_list("ann").vectors.version == "v3"


async def test_champion_that_describes_nothing_takes_over_after_a_while() -> None:
    """Else a worker could hold up the unloading of the one before for ever."""
    bench = Bench()
    bench.gives((CHAMPION, 1))
    await bench.describe()
    bench.gives((CHAMPION, 3))
    bench.now = SWITCH_SECONDS - 1
    assert bench.live.of_list("ann").version == "v1"
    bench.now = SWITCH_SECONDS
    assert bench.live.of_list("ann").version == "v3"
    assert bench.live.described()[0].vectors.waiting == 40


async def test_challenger_waits_for_a_switch_and_for_its_vectors() -> None:
    bench = Bench()
    bench.gives((CHAMPION, 1))
    await bench.describe()
    bench.gives((CHAMPION, 2))
    bench.live.apply(0, *record(CANARY, 3, share=1.0, salt="s"))
    used = [bench.used]
    await bench.describe()
    used.append(bench.used)
    assert used == [("v1", None), ("v2", "v3")]
    assert bench.live.of_list("ann").version == "v2", "it has no vectors yet"
    await bench.describe()
    assert bench.live.of_list("ann").version == "v3"


async def test_item_that_is_new_does_not_end_a_canary_but_pauses_the_comparison() -> None:
    bench = Bench()
    bench.gives((CHAMPION, 1))
    bench.live.apply(0, *record(CANARY, 2, share=1.0, salt="s"))
    await bench.describe()
    canary = bench.live.of_list("ann")
    assert canary.version == "v2"
    assert bench.live.opponent(canary) is not None
    bench.catalogue.add(films(41)[40])
    assert bench.live.of_list("ann").version == "v2"
    assert (bench.live.opponent(canary), bench.ack().lacking) == (None, 1)
    bench.catalogue.withdraw("film-40")
    other = bench.live.opponent(canary)
    assert other is not None
    assert other.version == "v1"


def test_records_that_cannot_be_used_change_nothing_and_are_counted() -> None:
    bench = Bench()
    bench.gives((CHAMPION, 1))
    key, value = record(SHADOW, 2)
    bench.live.apply(0, key, b"\xc1")
    bench.live.apply(0, b"another", value)
    bench.live.apply(0, *record("twin", 1))
    bench.live.apply(0, *record(CHAMPION, 2, model="explainer"))
    assert bench.used == ("v1", None)
    assert bench.live.ignored == 3
    assert bench.metrics.registry.get_sample_value("ouzel_ignored_model_records_total") == 3


def test_withdrawn_record_takes_the_role_away() -> None:
    bench = Bench()
    bench.gives((CHAMPION, 1), (SHADOW, 2))
    bench.live.apply(0, b"v2", None)
    assert bench.used == ("v1", None)
    bench.live.apply(0, b"v1", None)
    assert bench.used == ("", None)


def test_roles_in_use_are_a_bounded_metric() -> None:
    bench = Bench()
    bench.gives((CHAMPION, 1))
    for number in range(2, MOST_STATUSES + 40):
        bench.gives((SHADOW, number))
    assert len(bench.live._statuses) == MOST_STATUSES
    assert bench.used == ("v1", f"v{MOST_STATUSES + 39}")
    bench.gives((CANARY, 2))
    assert bench.roles() == {("v1", "champion"), ("v2", "canary")}
    assert bench.changes > MOST_STATUSES


Step = tuple[Role, int]
STEPS = st.lists(st.tuples(st.sampled_from(Role), st.integers(1, 4)), max_size=20)


@given(STEPS, st.integers(0, 20))
def test_late_reader_of_a_compacted_topic_finds_the_same_roles(steps: list[Step], compacted_to: int) -> None:
    """Compaction keeps the last record of a version, of those before some offset, in their order."""
    early, late = Bench(), Bench()
    early.gives(*steps)
    last = {number: at for at, (_, number) in enumerate(steps)}
    late.gives(*(step for at, step in enumerate(steps) if at >= compacted_to or last[step[1]] == at))
    late_status, early_status = late.live._lineup, early.live._lineup
    assert late_status == early_status
