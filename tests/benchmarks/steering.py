"""What a sentence changes: `python -m tests.benchmarks.steering [--events N] [--users N] [--likes N] [--json FILE]`.

On MovieLens-100K, with the language model's own readings and the lists of a worker without a model for scores:

- for each genre of 30 films and more, ten sentences that ask for more and ten that ask for less
  (`steering_sentences.json`; no example that the model learns from is among them): the mean share of the genre on the
  first ten entries, before and after;
- titles ("like X"): how many of the ten entries are among the 20 films that users like most together with X in events
  that come later;
- what a wish is worth when it is true (for a genre of the film that the user likes next) and when it is noise (for a
  random one, more or less of it): HR@10 before, after, with the paired difference and its 95% interval over users.
"""

import argparse
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import numpy as np

from deploy.datasets.dataset import films, likes
from deploy.evaluation.live_ranking import WITHOUT, Core
from inference.evaluation.intervals import interval
from inference.settings import ModelSettings
from inference.steering.interpreter import Interpreter
from inference.transformer.attention import IMPLEMENTATION
from inference.transformer.number_format import choose
from inference.transformer.tokenizer import FileTokens
from inference.transformer.weights import convert, load_model
from schemas.events import Event
from streams.fold.context import EMPTY, Context
from streams.steering.wish import Wish, offer

TOP = 10
FEWEST = 30
SEED = 0

SENTENCES = Path(__file__).with_name("steering_sentences.json")
"""By genre, ten sentences that ask for more and ten that ask for less. Their author knew neither the examples nor the
code of what reads them; about three of ten only describe the genre. Replace them when the code changes for one."""

GENRES: Mapping[str, str] = {
    "Action": "action movies",
    "Adventure": "adventure movies",
    "Animation": "animated movies",
    "Children's": "children's movies",
    "Comedy": "comedy movies",
    "Crime": "crime movies",
    "Documentary": "documentary movies",
    "Drama": "drama movies",
    "Horror": "horror movies",
    "Musical": "musical movies",
    "Mystery": "mystery movies",
    "Romance": "romance movies",
    "Sci-Fi": "sci-fi movies",
    "Thriller": "thriller movies",
    "War": "war movies",
}
"""The words of a genre in wishes that are true, or noise."""

MORE_LIKE = ("like {}", "more films like {}", "I loved {}, what else is like it?")


class World:
    """The lists of users after the first events of the films, and the language model that reads their sentences."""

    def __init__(self, work: Path, events: int) -> None:
        settings = ModelSettings()
        weights = convert(work / "weights", settings)
        chosen = choose(settings, weights).settings
        model = load_model(weights, chosen, IMPLEMENTATION)
        self.dtype = chosen.dtype.value
        self.interpreter = Interpreter(model.base_model, model.get_output_embeddings(), FileTokens(weights))
        self.dataset = films()
        self.stream = self.dataset.stream(SEED, None)
        self.core = Core(self.dataset.items)
        for event in self.stream[:events]:
            self.core.learn(event, likes(event))
        self.now = self.stream[events].ts
        self.genres = {item.id: frozenset(item.attributes) for item in self.dataset.items}
        self.seconds: list[float] = []

    def wish(self, sentence: str) -> Wish:
        """What the model reads in a sentence."""
        found = offer(self.core.catalogue, sentence)
        began = perf_counter()
        strengths = self.interpreter.interpret(sentence, found.names)
        self.seconds.append(perf_counter() - began)
        attributes, items = found.meant(strengths)
        return Wish(sentence, 0, attributes, items)

    def leading(self, context: Context, wishes: tuple[Wish, ...], now_ms: int = 0) -> list[str]:
        """The first ten entries."""
        ranker, blend = self.core.ranker, self.core.blends[WITHOUT]
        prepared = ranker.prepare(context, "default", now_ms=now_ms or self.now, wishes=wishes)
        return list(ranker.leading(ranker.shortlist(prepared, blend), blend, TOP))

    def share(self, names: Sequence[str], genre: str) -> float:
        return sum(genre in self.genres[name] for name in names) / TOP

    def users(self, count: int) -> list[Context]:
        held = sorted(self.core.contexts)
        chosen = np.random.default_rng(SEED).permutation(len(held))[:count]
        return [self.core.contexts[held[at]] for at in chosen]


def sentences(path: Path) -> Iterator[tuple[str, bool, str]]:
    """The sentences with the genre that each is about, and whether it asks for more."""
    for genre, asks in json.loads(path.read_text(encoding="utf-8")).items():
        for ask in ("more", "less"):
            yield from ((genre, ask == "more", each) for each in asks[ask])


def phrasings(world: World, users: Sequence[Context], path: Path) -> list[dict[str, Any]]:
    """For each sentence: the genre's mean share before and after, of users with room, and what the model read.

    Room to double: at most five of ten before. Room to halve: at least one.
    """
    before = [world.leading(user, ()) for user in users]
    found = []
    for genre, more, sentence in sentences(path):
        shares = np.array([world.share(names, genre) for names in before])
        room = shares <= 0.5 if more else shares > 0
        wish = world.wish(sentence)
        after = np.array(
            [world.share(world.leading(user, (wish,)), genre) for user, has in zip(users, room, strict=True) if has]
        )
        old, new = float(shares[room].mean()) if room.any() else 0.0, float(after.mean()) if len(after) else 0.0
        found.append(
            {
                "genre": genre,
                "more": more,
                "sentence": sentence,
                "read": dict(wish.attributes),
                "users": int(room.sum()),
                "before": old,
                "after": new,
                "enough": (new >= 2 * old and new > 0) if more else new <= old / 2,
            }
        )
    return found


def titles(world: World, users: Sequence[Context], later: Sequence[Event], count: int = 40) -> dict[str, float]:
    """Of the ten entries, how many are among the 20 items that users like most together with X later, before and after
    a sentence that names X; X is one of the items liked most."""
    together: dict[str, Counter[str]] = defaultdict(Counter)
    by_user: dict[str, list[str]] = defaultdict(list)
    liked: Counter[str] = Counter()
    for event in later:
        if likes(event) and event.item is not None:
            by_user[event.user].append(event.item)
            liked[event.item] += 1
    for items in by_user.values():
        for one, other in combinations(sorted(set(items)), 2):
            together[one][other] += 1
            together[other][one] += 1
    known = {item.id: item.title for item in world.dataset.items}
    before, after, understood, asked = [], [], 0, 0
    for name, _ in liked.most_common(count):
        close = sorted(together[name], key=lambda other: -together[name][other] / np.sqrt(liked[other] * liked[name]))
        near = set([one for one in close if liked[one] >= 10][:20])
        for sentence in MORE_LIKE:
            wish = world.wish(sentence.format(known[name].rsplit(" (", 1)[0]))
            asked += 1
            meant = [world.core.catalogue.index[number] for number, strength in wish.items if strength > 0]
            understood += name in meant
            for user in users[:20]:
                before.append(len(near.intersection(world.leading(user, ()))))
                after.append(len(near.intersection(world.leading(user, (wish,)))))
    return {
        "titles": count,
        "sentences": asked,
        "understood": understood / asked,
        "before": float(np.mean(before)),
        "after": float(np.mean(after)),
    }


def worth(world: World, later: Sequence[Event], most: int) -> dict[str, Any]:
    """HR@10 of the next like without a wish, with a true one, and with one for more or less of a random genre."""
    drawn = np.random.default_rng(SEED)
    more, less = (
        {genre: world.wish(f"{asks} {GENRES[genre]}") for genre in GENRES} for asks in ("a lot more", "a lot less")
    )
    genres = list(GENRES)
    rows: list[tuple[str, int, int, int]] = []
    for event in later:
        if len(rows) == most:
            break
        context = world.core.contexts.get(event.user, EMPTY)
        own = [genre for genre in GENRES if event.item is not None and genre in world.genres.get(event.item, ())]
        if likes(event) and own and drawn.random() < 0.25:
            true = more[own[int(drawn.integers(len(own)))]]
            noise = (more, less)[int(drawn.integers(2))][genres[int(drawn.integers(len(genres)))]]
            lists = [world.leading(context, given, event.ts) for given in ((), (true,), (noise,))]
            rows.append((event.user, *(int(event.item in names) for names in lists)))  # type: ignore[arg-type]
        world.core.learn(event, likes(event))
    users = np.unique([row[0] for row in rows], return_inverse=True)[1]
    hits = np.array([row[1:] for row in rows], np.float64)
    found: dict[str, Any] = {
        "likes": len(rows),
        "hr10": dict(zip(("none", "true", "noise"), hits.mean(0).tolist(), strict=True)),
    }
    for at, name in ((1, "true"), (2, "noise")):
        of = interval(hits[:, at] - hits[:, 0], users)
        found[name] = None if of is None else {"low": of.low, "high": of.high}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(".ouzel") / "benchmarks" / "steering")
    parser.add_argument("--events", type=int, default=30_000)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--likes", type=int, default=2_000)
    parser.add_argument("--sentences", type=Path, default=SENTENCES, help="others, in the form of this file")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    world = World(given.work, given.events)
    users, later = world.users(given.users), world.stream[given.events :]
    report: dict[str, Any] = {"dtype": world.dtype, "phrasings": phrasings(world, users, given.sentences)}
    show(report["phrasings"])
    report["titles"] = titles(world, users, later)
    print(report["titles"])
    report["worth"] = worth(world, later, given.likes)
    print(report["worth"])
    report["ms_a_sentence"] = round(1000 * float(np.median(world.seconds)), 1)
    print(f"a sentence takes {report['ms_a_sentence']} ms (median)")
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def show(found: Sequence[Mapping[str, Any]]) -> None:
    for genre in GENRES:
        cells = []
        for more in (True, False):
            own = [row for row in found if row["genre"] == genre and row["more"] == more]
            good = sum(row["enough"] for row in own)
            old, new = (float(np.mean([row[key] for row in own])) for key in ("before", "after"))
            cells.append(f"{'more' if more else 'less'} {old:.3f} -> {new:.3f}, {good} of {len(own)}")
        print(f"{genre:12}  {cells[0]:36}  {cells[1]}")
    good = sum(row["enough"] for row in found)
    print(f"{good} of {len(found)} sentences double or halve the share")
    for row in found:
        if not row["enough"]:
            read = ", ".join(f"{name} {strength:+.2f}" for name, strength in row["read"].items()) or "nothing"
            kind = f"{row['genre']}, {'more' if row['more'] else 'less'}"
            print(f"  {kind}: {row['sentence']!r} read as {read}; {row['before']:.2f} -> {row['after']:.2f}")


if __name__ == "__main__":
    main()
