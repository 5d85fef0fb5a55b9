"""Whatever records come between and during lists, each list is made by one version: asked, ranked with, and named."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from inference.scorers.scripted import ScriptedScorer
from schemas.recommendations import Recommendation
from schemas.scoring import ScoreRequest, Scores
from tests.support.background import running
from tests.support.listing import Bench
from tests.support.roles import place, versions

NUMBERS = (1, 2, 3)


@dataclass(frozen=True)
class Record:
    """A version gets a role; a retired one is unloaded."""

    role: str
    number: int
    share: float


@dataclass(frozen=True)
class Lists:
    """Lists of some users at once; `during`, what the worker reads while the model is asked."""

    users: tuple[str, ...]
    during: tuple[Record, ...]


@dataclass(frozen=True)
class Describe:
    """All versions in use describe at most this many items."""

    items: int


@dataclass(frozen=True)
class Unload:
    """The model loses a version without a record: another one answers for it."""

    number: int


Step = Record | Lists | Describe | Unload

RECORDS = st.builds(
    Record,
    st.sampled_from(["champion", "shadow", "canary", "canary", "retired"]),
    st.sampled_from(NUMBERS),
    st.sampled_from([0.5, 1.0]),
)
LISTS = st.builds(
    Lists,
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=3, unique=True).map(tuple),
    st.lists(RECORDS, max_size=3).map(tuple),
)
OTHERS = st.one_of(st.builds(Describe, st.sampled_from([7, 40])), st.builds(Unload, st.sampled_from(NUMBERS)))
BEGINNINGS: tuple[list[Step], ...] = (
    [],
    [Record("champion", 1, 0.0), Describe(40)],
    [Record("champion", 1, 0.0), Record("shadow", 2, 0.0), Describe(40)],
)
STEPS = st.tuples(
    st.sampled_from(BEGINNINGS), st.lists(st.one_of(LISTS, RECORDS, LISTS, OTHERS), min_size=2, max_size=16)
).map(lambda steps: [*steps[0], *steps[1]])


@dataclass
class Interrupted(ScriptedScorer):
    """Calls `during` once in the middle of a request."""

    inner: ScriptedScorer
    during: list[Record] = field(default_factory=list)
    bench: Bench | None = None

    def __post_init__(self) -> None:
        super().__init__()

    async def score(self, request: ScoreRequest, *, timeout: float, number: int | None = None) -> Scores:
        answer = await self.inner.score(request, timeout=timeout, number=number)
        records, self.during = self.during, []
        assert self.bench is not None
        for each in records:
            apply(self.bench, self.inner, each)
        return answer


def apply(bench: Bench, scorer: ScriptedScorer, each: Record) -> None:
    loaded = versions(*NUMBERS).versions
    if each.role == "retired":
        scorer.versions.pop(each.number, None)
    else:
        scorer.versions[each.number] = loaded[each.number]
    bench.gives(each.role, each.number, share=each.share, salt="s")


async def describe(bench: Bench, scorer: ScriptedScorer, most: int) -> None:
    for each in bench.live.described():
        asked = each.vectors.next(most)
        if asked:
            described = [bench.lists._catalogue.described(number) for number in asked]
            answer = await scorer.describe(described, timeout=1.0, number=each.number)
            if each.is_champion or answer.model_version == each.version:
                each.vectors.put(asked, answer)


async def follow(steps: Sequence[Step]) -> tuple[Bench, int]:
    """The list path after these steps, and how many lists it had to make."""
    inner = versions(*NUMBERS)
    scorer = Interrupted(inner)
    bench = scorer.bench = Bench(scorer)
    count = 0
    async with running(bench):
        for step in steps:
            match step:
                case Record():
                    apply(bench, inner, step)
                case Describe(most):
                    await describe(bench, inner, most)
                case Unload(number):
                    inner.versions.pop(number, None)
                case Lists(users, during):
                    scorer.during = list(during)
                    for user in users:
                        bench.did(user, f"film-{count % 40}")
                        count += 1
                    await bench.until(lambda n=count: len(bench.made()) == n and not bench.lists.busy())
        shadowed = bench.lists._shadow
        await bench.until(lambda: not shadowed._waiting and shadowed._current is None)
    return bench, count


def check(made: Recommendation) -> None:
    """Every score on the list is that of the version which it names: a vector of another version gives another."""
    assert made.degraded is None
    assert made.model_version is not None
    number = int(made.model_version.removeprefix("v"))
    scored = {entry.item: entry.model for entry in made.entries if entry.model is not None}
    assert scored == {item: float(number**2 * place(item, number)) for item in scored}


@settings(max_examples=80)
@given(STEPS)
def test_list_is_made_by_the_version_that_it_names(steps: list[Step]) -> None:
    bench, count = asyncio.run(follow(steps))
    assert len(bench.made()) == count
    assert bench.count("ouzel_lists_total", degraded="none") == count
    for made in bench.made():
        check(made)
    for held in bench.lists._judge._lists.values():
        if held.pair is not None:
            assert held.pair.champion != held.pair.challenger
