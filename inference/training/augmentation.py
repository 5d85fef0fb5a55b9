"""Augmentation: variants of item texts, so that the projector does not overfit to exact words. Pure."""

from collections.abc import Sequence
from random import Random

from schemas.scoring import Candidate

DROPPED_ATTRIBUTE = 0.3
DROPPED_WORD = 0.1
CUT = 0.2
"""Probabilities of dropping an attribute, of dropping a word of the title, and of truncating the text."""


def variants(items: Sequence[Candidate], count: int, seed: int) -> list[list[Candidate]]:
    """`count` variants of each item's text. The first is the text itself; the others drop attributes and words, and
    truncate some texts. The title keeps its first word, so no text is empty."""
    rng = Random(seed)  # noqa: S311 - variety, not secrecy
    return [list(items), *([_another(item, rng) for item in items] for _ in range(count - 1))]


def _another(item: Candidate, rng: Random) -> Candidate:
    first, *rest = item.text.split() or [""]
    title = [first, *(word for word in rest if rng.random() >= DROPPED_WORD)]
    about = ", ".join(part for part in item.about.split(", ") if rng.random() >= DROPPED_ATTRIBUTE)
    if rng.random() < CUT:
        about = about[: rng.randrange(len(about) + 1)]
    return Candidate(" ".join(title), item.item, about)
