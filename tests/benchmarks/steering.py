"""What a sentence changes: `python -m tests.benchmarks.steering [--events N] [--users N] [--likes N] [--json FILE]`.

On MovieLens-100K, with the language model's own readings and the lists of a worker without a model for scores:

- for each genre of 30 films and more, ten sentences that ask for more and ten that ask for less (below; no example that
  the model learns from is among them): the mean share of the genre on the first ten entries, before and after;
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

MORE = (
    "I'm longing for {}",
    "why don't you show me {}?",
    "{} make my day",
    "plenty of {} for me",
    "today I want {}",
    "it's time for {}",
    "I'm in the right mood for {}",
)
LESS = (
    "I'm bored by {}",
    "why do you always show me {}?",
    "{} ruin my day",
    "hardly any {} for me",
    "today I don't want {}",
    "{}? no way",
    "I'm in the wrong mood for {}",
)
"""For the words of a genre; three more sentences of each kind are about it in other words."""

GENRES: Mapping[str, tuple[str, tuple[str, str, str], tuple[str, str, str]]] = {
    "Action": (
        "action movies",
        ("action, action, action", "gunfights and helicopters", "I need some action in my life"),
        ("action wears me out", "leave out the stunts and fights", "something calm instead of action"),
    ),
    "Adventure": (
        "adventure movies",
        ("a treasure hunt in the jungle", "I'm up for an adventure", "explorers on a dangerous journey"),
        ("adventures are for other people", "forget the adventures", "too adventurous for me"),
    ),
    "Animation": (
        "animated movies",
        ("cartoons!", "drawn, not filmed: animation", "the best animation there is"),
        ("real people instead of animation", "cartoons are for babies", "I never watch animation"),
    ),
    "Children's": (
        "children's movies",
        ("the little ones want to watch too", "suitable for children", "something my daughter of five will like"),
        ("the kids are asleep, so nothing for children", "children's stuff is annoying", "please, not for children"),
    ),
    "Comedy": (
        "comedy movies",
        ("cheer me up with a comedy", "the funniest you have", "I want to giggle"),
        ("comedy? I prefer to be serious", "not in the mood for jokes", "comedies are stupid"),
    ),
    "Crime": (
        "crime movies",
        ("detectives chasing a murderer", "the mafia", "crime does pay, show me"),
        ("crime is on the news already", "forget gangsters and crime", "I never watch crime"),
    ),
    "Documentary": (
        "documentary movies",
        ("a documentary about anything", "documentaries are my thing", "only documentary footage"),
        ("documentaries are like school", "I never watch documentaries", "forget the documentary"),
    ),
    "Drama": (
        "drama movies",
        ("I love a good drama", "drama with great actors", "dramatic and sad"),
        ("a break from drama", "I cry too easily for drama", "drama is so tiresome"),
    ),
    "Horror": (
        "horror movies",
        ("vampires and zombies", "frighten me to death", "the scariest horror"),
        ("horror keeps me from sleeping", "I never watch horror", "blood and horror disgust me"),
    ),
    "Musical": (
        "musical movies",
        ("a musical with dancers", "singing and dancing all night", "musicals are great fun"),
        ("musicals drive me mad", "I never watch musicals", "forget the singing"),
    ),
    "Mystery": (
        "mystery movies",
        ("a mystery with a surprising end", "who is the murderer? a mystery", "mysterious events"),
        ("mysteries confuse me", "I never watch mysteries", "forget the mystery"),
    ),
    "Romance": (
        "romance movies",
        ("romance, candles and kisses", "a romance for my wife and me", "I believe in love"),
        ("romance is for teenagers", "I never watch romance", "forget love, forget romance"),
    ),
    "Sci-Fi": (
        "sci-fi movies",
        ("time travel and sci-fi", "aliens from outer space", "science fiction from the eighties"),
        ("sci-fi is childish", "I never watch science fiction", "forget robots and sci-fi"),
    ),
    "Thriller": (
        "thriller movies",
        ("a thriller that keeps me awake", "thrilling to the last minute", "the best thriller ever"),
        ("thrillers are too tense for my heart", "I never watch thrillers", "forget the thriller"),
    ),
    "War": (
        "war movies",
        ("the Vietnam war", "tanks and trenches of the war", "heroes of war"),
        ("war films upset my father", "I never watch war films", "forget the war"),
    ),
}
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


def sentences(genre: str) -> Iterator[tuple[bool, str]]:
    """Sentences about a genre, and whether they ask for more."""
    words, more, less = GENRES[genre]
    yield from ((True, each.format(words)) for each in MORE)
    yield from ((True, each) for each in more)
    yield from ((False, each.format(words)) for each in LESS)
    yield from ((False, each) for each in less)


def phrasings(world: World, users: Sequence[Context]) -> list[dict[str, Any]]:
    """For each sentence: the genre's mean share before and after, of users with room, and what the model read.

    Room to double: at most five of ten before. Room to halve: at least one.
    """
    before = [world.leading(user, ()) for user in users]
    found = []
    for genre in GENRES:
        shares = np.array([world.share(names, genre) for names in before])
        for more, sentence in sentences(genre):
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
        {genre: world.wish(f"{asks} {GENRES[genre][0]}") for genre in GENRES} for asks in ("a lot more", "a lot less")
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
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    world = World(given.work, given.events)
    users, later = world.users(given.users), world.stream[given.events :]
    report: dict[str, Any] = {"dtype": world.dtype, "phrasings": phrasings(world, users)}
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
