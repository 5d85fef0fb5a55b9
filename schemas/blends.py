"""What each partition of `ouzel.events` learned about the blends: `ouzel.blends` (compacted, keyed by partition and
scene).

The weights that make the lists of a scene are their priors plus the sum of what all partitions learned, so every
worker holds every part. There is no user id.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.errors import Refusal, Refused
from schemas.limits import MAX_MODIFIERS, MAX_SIGNALS, Finite, Id, Partition, Scene, SourceName

Squares = Annotated[float, Meta(ge=0.0, le=1e30)]
"""A sum of squared gradients."""

MAX_COUNT = 2**53
Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]


class LearnedSignal(msgspec.Struct, frozen=True, array_like=True):
    """What was learned of one signal: how far its weight `moved` from the prior, and AdaGrad's sum of `squares`
    of the gradients. `slopes` and `slope_squares` are the same of its slopes, one for each modifier of the part."""

    moved: Finite = 0.0
    squares: Squares = 0.0
    slopes: Annotated[tuple[Finite, ...], Meta(max_length=MAX_MODIFIERS)] = ()
    slope_squares: Annotated[tuple[Squares, ...], Meta(max_length=MAX_MODIFIERS)] = ()


class BlendPart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="v", tag=1):
    """What `partition` learned about the blend of `scene` from its own users; 2.5 KiB with the built-in signals.

    `id` is "partition:scene". `lists` is how many lists it learned from, `heard` how many all partitions had learned
    from, as far as it knew, when it learned from its last. `advantage` is its share of how much more probable slopes
    made the likes of the last lists, as a logarithm, as of `heard`. `model` is the weight of the model's scores,
    without slopes; `signals` are the others by name.
    """

    id: Id
    partition: Partition
    scene: Scene
    lists: Count = 0
    heard: Count = 0
    advantage: Finite = 0.0
    model: LearnedSignal = LearnedSignal()
    modifiers: Annotated[tuple[SourceName, ...], Meta(max_length=MAX_MODIFIERS)] = ()
    signals: Annotated[dict[SourceName, LearnedSignal], Meta(max_length=MAX_SIGNALS)] = {}


def part_id(partition: int, scene: str) -> str:
    return f"{partition}:{scene}"


def part_of_key(key: bytes) -> tuple[int, str]:
    """The partition and the scene that a key names. Raises `Refused`."""
    try:
        partition, _, scene = key.decode().partition(":")
        return int(partition), scene
    except ValueError:
        raise Refused(Refusal.KEY_MISMATCH, "the key is not PARTITION:SCENE") from None


def check_part(part: BlendPart, key: bytes) -> None:
    """Raise `Refused` unless the key is that of the part, and every signal has a slope for each modifier."""
    if not part.id.encode() == key == part_id(part.partition, part.scene).encode():
        raise Refused(Refusal.KEY_MISMATCH, "the key, the id, the partition and the scene do not agree")
    width = len(part.modifiers)
    if any(not len(each.slopes) == len(each.slope_squares) == width for each in part.signals.values()):
        raise Refused(Refusal.INVALID, f"a signal has another number of slopes than {width}, one for each modifier")
