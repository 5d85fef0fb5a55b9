"""Two versions of a model on one tritonserver, under numbers, until requests can name a version there."""

from dataclasses import replace
from pathlib import Path
from types import TracebackType

from msgspec import structs

from inference.item_tokens.adapter import save
from inference.scorers.triton import TritonScorer
from inference.settings import ModelSettings, Strategy
from inference.transformer.weights import name_of
from inference.triton.repository import build
from inference.triton.server import MODEL
from schemas.scoring import Candidate, Past, ScoreRequest, Scores
from tests.support import planted
from tests.support import tiny_model as tiny

SLOW = "slow"


class Numbered:
    """A scorer whose version 1 is the model, and version 2 the one beside it."""

    def __init__(self, address: str, second: str) -> None:
        self._scorers = {1: TritonScorer(address), 2: TritonScorer(address, model=second)}

    async def score(self, request: ScoreRequest, *, timeout: float, number: int | None = None) -> Scores:
        return await self._scorers[number or 1].score(request, timeout=timeout)

    async def __aenter__(self) -> "Numbered":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._scorers.values():
            await each.close()


def tiny_repository(target: Path, source: Path, settings: ModelSettings | None = None) -> Path:
    """The tiny model of `source` as version 1, and the same doing all work twice as `SLOW`."""
    made = replace(tiny.adapter(), base=name_of(str(source)))
    adapter = save(target.with_name("adapter"), made, "never trained")
    chosen = structs.replace(
        settings or ModelSettings.make(dtype="fp32", threads=1),
        source=str(source),
        strategy=Strategy.ITEM_TOKENS,
        adapter=str(adapter),
        prefix_cache_mib=0,
        max_reads=1_000,
    )
    return add_slow(build(target, chosen))


def add_slow(repository: Path) -> Path:
    """Add `SLOW` to a repository: the same files, and twice the work for each request."""
    first, slow = repository / MODEL, repository / SLOW
    (slow / "1").mkdir(parents=True)
    for path in (first / "1").iterdir():
        if path.name in ("model.py", "__pycache__"):
            continue
        (slow / "1" / path.name).symlink_to(path.resolve())
    (slow / "1" / "model.py").write_text(planted.TWICE)
    config = (first / "config.pbtxt").read_text()
    (slow / "config.pbtxt").write_text(config.replace(f'name: "{MODEL}"', f'name: "{SLOW}"', 1))
    return repository


def requests(count: int) -> list[ScoreRequest]:
    """Requests of usual size: 50 events and 100 candidates, of few different items."""
    return [
        ScoreRequest(
            session=at + 1,
            scene="default",
            history=tuple(Past(f"film {(at + event) % 40}", "like", feeling=1, ts=event + 1) for event in range(50)),
            candidates=tuple(Candidate(f"film {item}") for item in range(100)),
        )
        for at in range(count)
    ]
