"""Run a worker with the scorer that its settings name. Chosen here since `streams` does not import `inference`."""

from pathlib import Path
from typing import TYPE_CHECKING

from schemas.scoring import Scorer
from streams import worker
from streams.serving.one_off import MAX_AT_ONCE
from streams.settings import Settings

if TYPE_CHECKING:
    from inference.scorers.triton import Tls


def run() -> int:
    """Run a worker with the environment's settings until it is stopped; return its exit status."""
    return worker.run(scorer_of)


def _tls_of(settings: Settings) -> "Tls | None":
    from inference.scorers.triton import Tls  # noqa: PLC0415

    if settings.model.triton_security == "plaintext":
        return None
    return Tls(ca=settings.model.triton_ca, cert=settings.model.triton_cert, key=settings.model.triton_key)


def scorer_of(settings: Settings) -> Scorer | None:
    """The scorer that the settings name: Triton, in-process, or None."""
    # More than there are lists of users at a time: one is scored in shadow while all slots may be in use, and one-off
    # lists take no slot.
    requests = settings.lists.scoring_slots + 1 + MAX_AT_ONCE
    if settings.model.triton:
        from inference.scorers.triton import TritonScorer  # noqa: PLC0415 - each needs its own extra

        return TritonScorer(settings.model.triton, max_in_flight=requests, tls=_tls_of(settings))
    if settings.model.model_repository:
        from inference.scorers.in_process import InProcessScorer  # noqa: PLC0415
        from inference.triton.repository import settings_of, weights_of  # noqa: PLC0415

        built = Path(settings.model.model_repository)
        return InProcessScorer.from_weights(weights_of(built), settings_of(built), max_in_flight=requests)
    return None
