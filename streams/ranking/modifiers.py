"""What the weights of a blend depend on: the user's history, and how well known each candidate is. Pure.

The coefficients of a varying-coefficient model (Hastie and Tibshirani, JRSS B 1993) depend on such effect modifiers.
None of them adds to a score by itself: each raises or lowers the weights of the signals.
"""

import math
from datetime import timedelta

import numpy as np

from streams.candidates.moment import Floats, Ints, Moment
from streams.fold.context import SceneContext
from streams.ranking.standardization import standardize

MODIFIERS = ("user_events", "user_likes", "user_span", "item_events", "item_likes")
"""Their names, in the order of the columns."""

SPAN = 10
"""`user_span` is the time that this many of the user's last events took: minutes while they browse, days if they come
back now and then."""

USUAL = {"user_events": (3.5, 1.2), "user_likes": (3.5, 1.2), "user_span": (2.0, 2.0)}
"""The middle and the spread of the logarithms of the user's counts and minutes. Those that differ from the middle by
more than two spreads are nearly the same to the blend."""

_MINUTE_MS = timedelta(minutes=1) // timedelta(milliseconds=1)


def modifiers(moment: Moment, numbers: Ints) -> Floats:
    """The modifiers of some candidates, float32 [n, len(MODIFIERS)], each within -1 and 1.

    Those of the user are the same for all candidates; those of items are relative to the mean of these candidates.
    """
    scene = moment.context.scenes.get(moment.scene, SceneContext())
    last = scene.recent[-SPAN:]
    minutes = max(0, last[-1].ts - last[0].ts) / _MINUTE_MS if last else 0.0
    counts = (max(scene.met, len(scene.recent)), scene.liked, minutes)
    found = np.empty((len(numbers), len(MODIFIERS)), np.float32)
    for column, (count, (middle, spread)) in enumerate(zip(counts, USUAL.values(), strict=True)):
        found[:, column] = math.tanh((math.log1p(count) - middle) / spread)
    graph = moment.graph
    of_items = np.column_stack((graph.events()[numbers], graph.likes()[numbers]))
    found[:, len(USUAL) :] = np.tanh(standardize(np.log1p(of_items)))
    return found
