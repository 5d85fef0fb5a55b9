"""Versions in Triton, as the loop of versions wants them."""

import asyncio
from pathlib import Path

from deploy.learning.ports import VersionRefused
from inference import errors
from inference.settings import ADAPTER, DType
from inference.transformer.weights import read_manifest
from inference.triton.model_control import ModelControl
from inference.triton.placing import place, placed
from inference.triton.repository import weights_of
from inference.versions.state import Serving
from inference.versions.store import VersionStore


class TritonServer:
    """Implements `deploy.learning.ports.Server`."""

    def __init__(self, control: ModelControl, repository: Path, store: VersionStore) -> None:
        self._control, self._repository, self._store = control, repository, store
        self._names: dict[int, str] = {}

    async def serving(self) -> Serving:
        loaded = await self._control.loaded()
        there = await asyncio.to_thread(placed, self._repository)
        lowest = min(loaded, default=0)
        if loaded and lowest not in self._names:
            self._names[lowest] = await self._control.version_name(lowest)
        return Serving(loaded=frozenset(loaded), placed=frozenset(there), name=self._names.get(lowest, ""))

    async def place(self, number: int) -> None:
        """The version's name says in which number format it runs, and it is placed with that one."""
        try:
            dtype = format_in(self._store.record(number).name, self._repository)
            await asyncio.to_thread(place, self._repository, number, self._store.folder(number) / ADAPTER, dtype=dtype)
        except errors.WeightsError as error:
            raise VersionRefused(str(error)) from None

    async def load(self, numbers: frozenset[int]) -> None:
        try:
            await self._control.load(numbers)
        except errors.LoadRefused as error:
            raise VersionRefused(str(error)) from None

    async def remove(self, number: int) -> None:
        await self._control.retire(number)


def format_in(name: str, repository: Path) -> DType | None:
    """The number format in the name of a version that runs on the weights of `repository`; None for another name."""
    manifest = read_manifest(weights_of(repository))
    found = [dtype for dtype in (DType.BF16, DType.FP32) if name.startswith(manifest.version(dtype))]
    return found[0] if found else None
