"""The settings of ranking."""

from dataclasses import dataclass, field

from schemas.seen import PLAIN, SeenRules
from streams.candidates.registry import Sources
from streams.ranking.exploration import Explorations
from streams.wording.language import Language, default


@dataclass(frozen=True)
class Ranking:
    """The settings of a `Ranker`.

    `length`: entries of a list. `rescored`: how many of the best candidates the model scores one by one; 0 requests
    only the context's vector. `diversity`: the strength of MMR, in units of blended score. `exploration` says how the
    lists of a scene explore: among the best candidates, of which there are `explored` more than entries. The model
    reads at most the last `history` events of the user; their beginning moves by `history_step` at a time, so that
    requests in between share a prefix. `seen` says which seen items a scene's lists leave out. The lists of one user
    in `compared` are compared with the list without the model and with the popular items. `language` is that of the
    reasons.
    """

    length: int = 10
    rescored: int = 8
    diversity: float = 0.3
    exploration: Explorations = field(default_factory=Explorations)
    explored: int = 20
    history: int = 50
    history_step: int = 25
    seen: SeenRules = PLAIN
    compared: int = 4
    sources: Sources = field(default_factory=Sources)
    language: Language = field(default_factory=default)
