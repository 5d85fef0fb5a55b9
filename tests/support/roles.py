"""Records of `ouzel.models`, and a scorer of several scripted versions that can be told apart by what they answer."""

from collections.abc import Sequence

from inference.scorers.scripted import ScriptedScorer, ScriptedVersion
from schemas.codec import encode
from schemas.models import ModelStatus
from schemas.scoring import Candidate, ScoreRequest


def name(number: int) -> str:
    """The name of version `number`."""
    return f"v{number}"


def record(
    role: str, number: int, *, share: float = 0.0, salt: str = "", model: str = "scorer", ts: int = 1
) -> tuple[bytes, bytes]:
    """A record that gives version `number` a role: its key and its value."""
    version = name(number)
    status = ModelStatus(model=model, version=version, role=role, ts=ts, number=number, share=share, salt=salt)
    return version.encode(), encode(status)


def place(item: str, number: int) -> int:
    """Where version `number` places film n among 40, from 1 to 41: each version has another favourite."""
    return (int(item.removeprefix("film-")) * (2 * number + 1) + 7 * number) % 41 + 1


def scripted(number: int) -> ScriptedVersion:
    """A version whose score of an item is `number`² times its `place`.

    A context's vector of one version with items' vectors of another gives other numbers.
    """

    def score(request: ScoreRequest) -> Sequence[float]:
        return [float(number**2 * place(each.item, number)) for each in request.candidates]

    def vector(of: ScoreRequest | Candidate) -> Sequence[float]:
        return [float(number * place(of.item, number) if isinstance(of, Candidate) else number)]

    return ScriptedVersion(name(number), score, vector)


def versions(*numbers: int) -> ScriptedScorer:
    """A scorer with these versions loaded; requests without a number go to the newest."""
    newest = scripted(max(numbers))
    return ScriptedScorer(
        newest.function,
        vector_of=newest.vector_of,
        version=newest.name,
        versions={number: scripted(number) for number in numbers},
    )
