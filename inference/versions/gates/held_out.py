"""What versions are judged on: held-out likes of a stream, and decisions of logged lists. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from inference.off_policy.decisions import NO_DECISIONS, Decisions
from inference.off_policy.logs import joined
from inference.training.histories import Histories, Ints
from inference.training.impressions import NO_HISTORY
from inference.training.sequences import context_begin
from inference.versions.gates.trial import Bools
from schemas.feedback import Feedback
from schemas.scoring import Candidate, Past, ScoreRequest

MOST_TESTS = 1_000
MOST_DECISIONS = 2_000


@dataclass(frozen=True, eq=False)
class LoggedLists:
    """D decisions of lists, in parallel with `decisions`.

    `history` int64 [D]: the user's history in the scene, `NO_HISTORY` if there is none. `place` int64 [D]: the number
    of events in the stream before the list was published; those of the history are its context. `item` int64 [D]: the
    item that was chosen. `above`: the items above it in its list, which could not be chosen again.
    """

    history: Ints
    place: Ints
    item: Ints
    above: tuple[Ints, ...]
    decisions: Decisions


_NO_PLACES = np.zeros(0, np.int64)
NO_LISTS = LoggedLists(_NO_PLACES, _NO_PLACES, _NO_PLACES, (), NO_DECISIONS)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Tests on a stream. `tests` are indices into `histories` of likes that neither version learned; `learned` is the
    number of events that the challenger learned. `texts` are the items' texts, in the order of `histories.items`.
    `groups`: whether each test belongs to a group, by name.
    """

    histories: Histories
    texts: Sequence[Candidate]
    tests: Ints
    learned: int
    lists: LoggedLists = NO_LISTS
    groups: Mapping[str, Bools] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.histories.items):
            raise ValueError(f"{len(self.texts)} texts for {len(self.histories.items)} items")
        if len(self.tests) and (np.diff(self.tests) <= 0).any():
            raise ValueError("the tests must be ascending indices into the stream, each once")

    @property
    def popularity(self) -> Ints:
        """Likes of each item among the learned events, int64 [items]."""
        liked = self.histories.item[: self.learned][self.histories.feeling[: self.learned] > 0]
        return np.bincount(liked[liked >= 0], minlength=len(self.histories.items)).astype(np.int64)

    def before(self, place: int, history: int) -> Ints:
        """The events of a history before a place in the stream, oldest first."""
        if not 0 <= history < len(self.histories.sequences):
            return _NO_PLACES
        sequence = self.histories.sequences[history]
        return sequence[: np.searchsorted(sequence, place)]

    def request(self, place: int, history: int, candidates: Sequence[int] = ()) -> ScoreRequest:
        """The request for a list of a history before `place` in the stream, with the events that a worker sends."""
        stream, past = self.histories, self.before(place, history)
        events = past[context_begin(len(past)) :].tolist()
        texts = [self.texts[stream.item[at]] for at in events]
        return ScoreRequest(
            session=history + 1,
            scene="default",
            history=tuple(
                Past(
                    text=text.text,
                    kind="rate",
                    item=text.item,
                    about=text.about,
                    feeling=int(stream.feeling[at]),
                    ts=int(stream.ts[at]),
                )
                for at, text in zip(events, texts, strict=True)
            ),
            candidates=tuple(self.texts[item] for item in candidates),
        )

    def likes_before(self) -> Ints:
        """The likes of each test's user before it, int64 [T]."""
        befores = [self.before(test, int(self.histories.history[test])) for test in self.tests.tolist()]
        return np.array([int((self.histories.feeling[some] > 0).sum()) for some in befores], np.int64)


def sampled(tests: Ints, most: int = MOST_TESTS, seed: int = 0) -> Ints:
    """At most `most` of the tests, drawn at random, ascending."""
    return np.sort(np.random.default_rng(seed).permutation(tests)[:most])


def logged(
    feedback: Iterable[Feedback],
    histories: Histories,
    owners: Mapping[tuple[str, str], int],
    most: int = MOST_DECISIONS,
) -> LoggedLists:
    """The newest decisions in `feedback`, in any order: entries of lists that were shown with a propensity below 1.

    `owners` numbers the histories, by user and scene. The reward of an entry is that of the newest reaction to it, 0 if
    there is none. Left out: items that the histories do not have, and lists without `shown` or with impossible entries.
    """
    places = {item: place for place, item in enumerate(histories.items)}
    people: dict[str, int] = {}
    rows = []
    for one in joined(feedback).lists:
        owner = owners.get((one.user, one.scene), NO_HISTORY)
        above: list[int] = []
        for entry, reward in zip(one.entries, one.rewards, strict=True):
            item = places.get(entry.item)
            if item is None:
                continue
            if entry.propensity < 1.0:
                user = people.setdefault(one.user, len(people))
                rows.append((owner, one.published, item, np.array(above, np.int64), user, reward, entry.propensity))
            above.append(item)
    rows = rows[-most:]
    if not rows:
        return NO_LISTS
    owner_of, times, items, aboves, users, earned, chances = zip(*rows, strict=True)
    return LoggedLists(
        history=np.array(owner_of, np.int64),
        place=np.searchsorted(histories.ts, np.array(times, np.int64)).astype(np.int64),
        item=np.array(items, np.int64),
        above=tuple(aboves),
        decisions=Decisions(np.array(users, np.int64), np.array(earned), np.array(chances)),
    )
