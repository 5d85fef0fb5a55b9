"""Loading: a version's folder is complete and finite, and belongs to the base model and the catalogue."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.errors import WeightsError
from inference.versions.gates.trial import Trial
from inference.versions.store import Gate

if TYPE_CHECKING:
    from inference.item_tokens.adapter import Adapter

VECTORS = "vectors.safetensors"
KEY = 20
"""Bytes of an item's key (`inference.item_tokens.items.Items.key`)."""

NAME = "loads"
FINITE = "finite scores"

KNOWN = 0.5
"""At least this share of the items that a version has parameters for must be in the catalogue."""


def loads(folder: Path, decoder: Any, base: str, catalogue: Sequence[str]) -> Gate:
    """Whether the adapter in `folder` can be loaded for the language model `decoder` named `base`.

    `figure` is the share of its items that are in `catalogue`, 1 if it has none: a version for other items would score
    by texts alone, silently. Fails with the loader's reason.
    """
    # Here, so that the pure gates do not need torch.
    from inference.item_tokens.adapter import load  # noqa: PLC0415

    try:
        found = load(folder)
        found.check(decoder, base)
        _check_vectors(folder / VECTORS, found)
    except WeightsError as error:
        return Gate(name=NAME, figure=0.0, threshold=KNOWN, passed=False, text=str(error))
    known = len(set(found.items) & set(catalogue)) / len(found.items) if found.items else 1.0
    passed = known >= KNOWN
    said = (
        f"{found.version} on {base}, {len(found.items):,} items with parameters, {known:.0%} of them in the catalogue"
    )
    return Gate(
        name=NAME,
        figure=known,
        threshold=KNOWN,
        passed=passed,
        text=f"{said}." if passed else f"{said}. Train it on events of this catalogue.",
    )


def _check_vectors(path: Path, adapter: "Adapter") -> None:
    """Raises `WeightsError` unless the tokens and vectors of items, if shipped, fit the adapter and are finite."""
    import torch  # noqa: PLC0415
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415

    again = "make the version again, or copy its complete folder"
    if not path.exists():
        return
    try:
        parts = load_file(path)
        keys, tokens, vectors = (parts[name] for name in ("keys", "tokens", "vectors"))
    except (OSError, SafetensorError, KeyError) as error:
        raise WeightsError(f"{path} cannot be read ({error}); {again}") from None
    count, shape = len(keys), adapter.shape
    expected = ((count, KEY), (count, shape.hidden), (count, shape.vector))
    if (tuple(keys.shape), tuple(tokens.shape), tuple(vectors.shape)) != expected:
        raise WeightsError(f"{path} has tensors of other sizes than the adapter; {again}")
    if not (torch.isfinite(tokens).all() and torch.isfinite(vectors).all()):
        raise WeightsError(f"{path} has non-finite numbers; check the training losses, then {again}")


def finite(trial: Trial) -> Gate:
    """Fails if any score of the challenger was not finite. `figure` is the share of tests and decisions that were."""
    asked = trial.tests + len(trial.challenger.chances)
    broken = trial.challenger.broken
    return Gate(
        name=FINITE,
        figure=1.0 - broken / max(1, asked, broken),
        threshold=1.0,
        passed=broken == 0,
        text=f"{asked:,} contexts scored."
        if broken == 0
        else f"{broken:,} of {asked:,} contexts have scores that are not finite. Serve it in fp32, or train again.",
    )
