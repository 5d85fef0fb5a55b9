"""People who go through one shelf after another, and a tiny network that learns it."""

from random import Random

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from inference.item_tokens.adapter import Adapter
from inference.item_tokens.context import instruction
from inference.item_tokens.heads import Shape
from inference.item_tokens.reading import Reader, compose
from inference.item_tokens.trunk import cut, embedding_scale
from inference.training.augmentation import variants
from inference.training.histories import Histories
from inference.training.network import ItemTokenNetwork
from schemas.events import Event, EventKind
from schemas.scoring import Candidate
from tests.support import tiny_model as tiny

SHELVES = ("war", "love", "ghosts", "trains")
ITEMS = tuple(f"{shelf}-{number}" for shelf in SHELVES for number in range(6))
CANDIDATES = tuple(Candidate(f"{item[-1]} {item[:-2]}", item, f"{item[:-2]}, {item[:-2]}s") for item in ITEMS)
SHAPE = Shape(hidden=32, reading=64, layers=2, rank=4, width=12, middle=24)
BEGIN = 1_600_000_000_000
MINUTE = 60_000


def events(people: int = 24, seed: int = 0) -> list[Event]:
    """Each person likes five things of one shelf and dislikes one of another, a minute apart, people one by one."""
    random = Random(seed)
    found: list[Event] = []
    for person in range(people):
        own, other = random.sample(SHELVES, 2)
        taken = [(f"{own}-{number}", 5.0) for number in random.sample(range(6), 5)]
        taken.insert(2, (f"{other}-{random.randrange(6)}", 1.0))
        for item, value in taken:
            at = len(found)
            found.append(
                Event(
                    id=f"e{at}",
                    user=f"p{person}",
                    kind=EventKind.RATE,
                    ts=BEGIN + MINUTE * at,
                    item=item,
                    value=value,
                )
            )
    return found


def feeling(event: Event) -> int:
    return 2 if (event.value or 0.0) > 3 else -2


def histories(people: int = 24, seed: int = 0) -> Histories:
    return Histories.of(events(people, seed), ITEMS, feeling)


def readings(count: int = 1) -> NDArray[np.float32]:
    """float32 [count, items, 2, 32]."""
    reader = Reader(tiny.model().model, tiny.ByteTokens(), "tiny-1", (1, 2))
    ways = variants(CANDIDATES, count, 0)
    return np.stack([reader.read([compose(one.text, one.about) for one in way]).numpy() for way in ways])


READINGS = readings()


def network(
    seed: int = 0,
    *,
    residuals: bool = False,
    dropout: float = 0.0,
    start: Adapter | None = None,
    told: NDArray[np.float32] = READINGS,
) -> ItemTokenNetwork:
    decoder = tiny.model().model
    decoder.config._attn_implementation = "sdpa"
    ids = torch.tensor(instruction(tiny.ByteTokens()))
    torch.manual_seed(seed)
    return ItemTokenNetwork(
        msgspec.structs.replace(SHAPE, tower=8) if residuals else SHAPE,
        cut(decoder, 2),
        decoder.embed_tokens(ids),
        told,
        scale=embedding_scale(decoder),
        residuals=residuals,
        dropout=dropout,
        start=start,
        items=ITEMS,
    )


class Base:
    """What `deploy.learning.adapter` trains on, in place of `inference.training.learner.Base`."""

    name, version, depths = "tiny", "tiny-1", (1, 2)
    chosen = "fp32"

    def readings(self, items, count, seed, progress):
        reader = Reader(tiny.model().model, tiny.ByteTokens(), "tiny-1", self.depths)
        ways = variants(items, count, seed)
        return np.stack([reader.read([compose(one.text, one.about) for one in way]).numpy() for way in ways])

    def network(self, told, *, layers, rank, residuals, tower, forget, dropout, start=None, items=()):
        decoder = tiny.model().model
        decoder.config._attn_implementation = "sdpa"
        if start is not None:
            start.check(decoder, self.name)
        tower = min(tower, 8) if residuals else 0
        shape = Shape(hidden=32, reading=64, layers=layers, rank=rank, width=12, middle=24, tower=tower)
        if start is not None:
            shape = msgspec.structs.replace(start.shape, tower=start.shape.tower or tower)
        return ItemTokenNetwork(
            shape,
            cut(decoder, layers),
            decoder.embed_tokens(torch.tensor(instruction(tiny.ByteTokens()))),
            told,
            scale=embedding_scale(decoder),
            residuals=residuals,
            forget=forget,
            dropout=dropout,
            start=start,
            items=items,
        )
