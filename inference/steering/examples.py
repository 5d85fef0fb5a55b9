"""Pairs of sentences, one asking for more of something and one for less, from which the model learns the difference.

Both of a pair speak of the same things, so that what tells them apart is the asking. They are about food, clothes,
music, places and hobbies: what is asked for should not matter.
"""

import json
from importlib.resources import files

Pair = tuple[str, str]


def _read() -> tuple[Pair, ...]:
    text = files("inference.steering").joinpath("pairs.json").read_text("utf-8")
    return tuple((more, less) for more, less in json.loads(text))


PAIRS = _read()
"""Those of `pairs.json`."""
