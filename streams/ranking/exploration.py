"""How much the lists of a scene explore. `streams.ranking.drawing` draws them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.scenes import by_scene

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 10.0
MAX_NEW_PLACES = 20


@dataclass(frozen=True)
class Exploration:
    """The exploration of one scene.

    `share`: the probability that a list explores, 0 to 1. `temperature`: in units of blended score; two candidates
    whose scores differ by it get a place with probabilities that differ by a factor of e. `new_share`: the probability
    that the last `new_places` places of a list go to new items.
    """

    share: float = 0.05
    temperature: float = 0.3
    new_share: float = 0.02
    new_places: int = 2


OFF = Exploration(share=0.0, new_share=0.0)


@dataclass(frozen=True)
class Explorations:
    """The exploration of individual scenes, and the default for all others."""

    default: Exploration = Exploration()
    scenes: Mapping[str, Exploration] = field(default_factory=dict)

    def of(self, scene: str) -> Exploration:
        return self.scenes.get(scene, self.default)

    @property
    def shows_new(self) -> bool:
        """Whether any scene has places for new items."""
        return any(each.new_share > 0 and each.new_places > 0 for each in (self.default, *self.scenes.values()))


NO_EXPLORATION = Explorations(OFF)


def shares(text: str, default: float) -> dict[str, float]:
    """Shares by scene: "0.05, home=0.1". Raises `ValueError`."""
    return _numbers(text, default, 0.0, 1.0)


def temperatures(text: str, default: float) -> dict[str, float]:
    """Temperatures by scene: "0.5, home=1". Raises `ValueError`."""
    return _numbers(text, default, MIN_TEMPERATURE, MAX_TEMPERATURE)


def explorations(
    share: Mapping[str, float], temperature: Mapping[str, float], new_share: Mapping[str, float], new_places: int
) -> Explorations:
    """The explorations of all scenes that any of the settings names."""

    def of(scene: str) -> Exploration:
        explores, warm, has_new = (each.get(scene, each[""]) for each in (share, temperature, new_share))
        return Exploration(explores, warm, has_new, new_places)

    return Explorations(of(""), {scene: of(scene) for scene in sorted({*share, *temperature, *new_share} - {""})})


def _numbers(text: str, default: float, low: float, high: float) -> dict[str, float]:
    return {scene: _number(value, low, high) for scene, value in by_scene(text, str(default)).items()}


def _number(text: str, low: float, high: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not low <= number <= high:  # nor NaN
        raise ValueError(f"{text[:60]!r} is not a number from {low:g} to {high:g}")
    return number
