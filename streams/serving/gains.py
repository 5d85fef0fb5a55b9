"""Whether the model is asked about the lists of a scene: not once it has been shown to add nothing to them.

The evidence (`streams.ranking.gain`) is stored by partition and scene, beside the blend, so it survives restarts and
moves with its partition. A worker decides for its partitions together. Where the model adds nothing, it is asked for
the compared users only, so evidence goes on coming in: if it begins to help, all users get its lists again. A new
champion is asked, and its evidence starts over.

Evidence is sums over users and names none, so an erasure leaves it as it is, like the blend.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from schemas.scoring import Scores
from schemas.shown import shown_in_line
from streams.metrics import Metrics
from streams.ranking.gain import WINDOW, Gain, PairedLike, Sums, Verdict, taken, turned, verdict
from streams.serving.live_versions import LiveVersion
from streams.state.fifo_cache import FifoCache

log = logging.getLogger(__name__)

MOST_SCENES = 1_000
"""Maximum scenes with a verdict in memory; beyond it, the oldest verdict is taken again from the evidence."""


class State(Protocol):
    """The parts of a partition's state that are needed here."""

    def gain(self, scene: str) -> Gain: ...
    def set_gain(self, scene: str, gain: Gain) -> None: ...


class Gains:
    """The verdicts of one worker about the champion, by scene. `states` are those of its partitions, by number.

    `margin`: what the model has to add (`OUZEL_MODEL_MARGIN`); `compared`: one user in this many is compared.
    """

    def __init__(self, states: Mapping[int, State], *, margin: float, compared: int, metrics: Metrics) -> None:
        self._states = states
        self._margin = margin
        self._compared = compared
        self._metrics = metrics
        self._version = ""
        self._verdicts: FifoCache[str, Verdict] = FifoCache(MOST_SCENES)

    def champion_of(self, by: LiveVersion, scores: Scores | None) -> str:
        """The version of the champion if `scores` are an answer of it, else "". Notes a new champion."""
        if scores is None or not by.is_champion or by.version not in ("", scores.model_version):
            return ""
        if scores.model_version != self._version:
            self._version = scores.model_version
            self.look()
        return self._version

    def asks(self, scene: str, by: LiveVersion, *, note: bool = True) -> bool:
        """Whether `by` is to be asked about the lists of a scene. A challenger always is, and so is a version that has
        not answered yet. `note`: decide about a scene without a verdict, and hold the verdict."""
        if not by.is_champion or not self._version or by.version not in ("", self._version):
            return True
        held = self._verdicts.get(scene)
        if held is None and note:
            held = self._look(scene)
        return held is not Verdict.NOTHING

    def take(self, partition: int, like: PairedLike) -> None:
        """Take in a like of compared lists; one of lists of an earlier champion is left out."""
        state = self._states.get(partition)
        if state is None or like.version != self._version:
            return
        state.set_gain(like.scene, taken(state.gain(like.scene), like))
        held = self._held(like.scene)
        if sum(gain.now.likes for gain in held.values()) >= WINDOW:
            for number, gain in held.items():
                self._states[number].set_gain(like.scene, turned(gain))
        self._look(like.scene)

    def look(self) -> None:
        """Decide about all scenes again: the partitions or the champion have changed. Without partitions, nothing is
        known, and no list is made."""
        if self._states:
            for scene in list(self._verdicts):
                self._look(scene)

    def _held(self, scene: str) -> dict[int, Gain]:
        """The evidence about the champion, by partition."""
        found = {number: state.gain(scene) for number, state in self._states.items()}
        return {number: gain for number, gain in found.items() if gain.version == self._version}

    def _look(self, scene: str) -> Verdict:
        sums = sum((gain.sums for gain in self._held(scene).values()), start=Sums())
        before = self._verdicts.get(scene)
        now = verdict(sums, self._margin, before or Verdict.UNDECIDED)
        if now is before:
            return now
        self._verdicts.keep(scene, now)
        counts = Counter(self._verdicts.values())
        for each in Verdict:
            self._metrics.verdicts.labels(each).set(counts[each])
        if now is Verdict.NOTHING:
            log.info(
                "The model adds nothing to lists of scene %s (hits %+.4f, NDCG %+.4f, over %s likes): from now on "
                "it is asked for one user in %d",
                shown_in_line(scene),
                sums.hits / sums.likes,
                sums.worth / sums.likes,
                f"{sums.likes:,}",
                self._compared,
            )
        elif before is Verdict.NOTHING:
            log.info("The model is asked about all lists of scene %s again", shown_in_line(scene))
        return now
