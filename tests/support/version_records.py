"""Records of `ouzel.models` and `ouzel.comparisons`, and the trials that some of them tell of."""

from schemas.models import Comparison, ModelStatus, Role
from streams.serving.trials import Trials


def status(number: int, role: str, *, share: float = 0.0, reason: str = "") -> ModelStatus:
    return ModelStatus(
        model="scorer", version=f"v{number}", role=role, ts=number, number=number, share=share, reason=reason
    )


def comparison(at: int, champion: int, challenger: int, hits: tuple[bool, bool]) -> Comparison:
    return Comparison(
        id=f"c{at}",
        list=f"l{at}",
        scene="default",
        ts=at,
        champion=f"v{champion}",
        challenger=f"v{challenger}",
        champion_hit=hits[0],
        challenger_hit=hits[1],
    )


def scripted() -> Trials:
    """Version 2 was promoted and version 3 withdrawn; version 4 is a canary, better in 2 of 40 likes."""
    versions = Trials()
    for one in (
        status(1, Role.CHAMPION),
        status(2, Role.SHADOW),
        status(2, Role.CHAMPION, reason="+0.020 in 900 likes"),
        status(1, Role.RETIRED),
        status(3, Role.SHADOW),
        status(3, Role.RETIRED, reason="-0.030 in 1,200 likes"),
        status(4, Role.SHADOW),
        status(4, Role.CANARY, share=0.1),
    ):
        versions.take_status(one)
    for at in range(40):
        versions.take_comparison(comparison(at, 2, 4, (at % 10 == 0, at % 10 == 0 or at in (1, 2))))
    return versions
