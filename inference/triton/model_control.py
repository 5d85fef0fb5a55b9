"""Load and unload versions of the model in a running tritonserver, beside those that serve.

`ouzel triton serve --model-control` must serve the repository, which must lie on this machine: the versions that are
loaded are also written into its configuration, so that a server that is restarted loads the same ones.
"""

import asyncio
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn

from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from inference.errors import ControlRefused, LoadRefused, TritonFailed
from inference.scorers.triton import Tls, TritonScorer, connect
from inference.triton.control import grpc_headers
from inference.triton.placing import placed, remove
from inference.triton.repository import read_config, with_policy, write_config
from inference.triton.server import MODEL, READY_SECONDS
from inference.versions.store import FIRST
from schemas.scoring import ScoreRequest

CALL_SECONDS = 10.0
UNLOAD_SECONDS = 60.0
"""Time that a version gets to answer the requests that it has and to end."""

_LOOK_SECONDS = 0.05
_READY = "READY"
_FAILED = re.compile(r"version (\d+) is at \w+ state: (?:Internal: )?([^\n;]+)")


class ModelControl:
    """Loads versions of `repository` in the server at `address` (host:port of gRPC), with the control key.

    One client at a time may load: loads of two clients would undo each other. All calls are safe to repeat.
    """

    def __init__(self, address: str, repository: Path, key: str, *, tls: Tls | None = None) -> None:
        self._address = address
        self._repository = repository
        self._headers = grpc_headers(key)
        self._tls = tls
        self._client: InferenceServerClient | None = None
        self._scorer = TritonScorer(address, tls=tls)
        self._one_at_a_time = asyncio.Lock()
        """Concurrent loads are a known fault of tritonserver (server #7018)."""

    async def load(self, numbers: Collection[int], *, timeout: float = READY_SECONDS) -> None:
        """Make exactly these versions serve: load the new ones, unload the others, leave the rest running. Returns when
        they answer.

        A version that cannot be loaded raises `LoadRefused`, and those that served before serve on. Raises
        `ControlRefused` without the right key, and `TritonFailed` if the server does not answer in time.
        """
        if not numbers:
            raise ValueError("name at least one version: workers need one")
        async with self._one_at_a_time:
            before = await self.loaded()
            missing = set(numbers).difference(placed(self._repository))
            if missing:
                raise LoadRefused(
                    f"{self._repository} has no version {_listed(missing)}: place it first; {_still(before)}"
                )
            config = with_policy(read_config(self._repository), numbers)
            try:
                await self._load(config, timeout)
                lacking = set(numbers).difference(await self.loaded())
                if lacking:
                    raise LoadRefused(f"version {_listed(lacking)} was not loaded; see the server's log")
            except LoadRefused as refused:
                if before:
                    await self._load(with_policy(config, before), timeout)
                raise LoadRefused(f"{refused}; {_still(before)}") from None
            write_config(self._repository, config)

    async def loaded(self) -> list[int]:
        """The versions that answer, ascending. Raises as `load` does."""
        return sorted(number for number, state in (await self._states()).items() if state == _READY)

    async def ready(self, number: int) -> bool:
        """Whether this version answers. Never raises. Needs no key."""
        return await self._scorer.ready(number)

    async def version_name(self, number: int, *, timeout: float = CALL_SECONDS) -> str:
        """What version `number` calls itself (`Scores.model_version`). Raises `LoadRefused` if it is not loaded, and
        `ScoringError` if it does not answer."""
        asked = ScoreRequest(session=0, scene="default", history=(), candidates=())
        before = self._scorer.unnamed_instead
        answer = await self._scorer.score(asked, timeout=timeout, number=number)
        if self._scorer.unnamed_instead != before:
            raise LoadRefused(f"version {number} is not loaded: load it first")
        return answer.model_version

    async def retire(self, number: int, *, timeout: float = UNLOAD_SECONDS) -> None:
        """Delete the folder of a version that was unloaded; version 1's stays, for in-process scoring.

        Waits for a version that is being unloaded. Raises `LoadRefused` if it is loaded.
        """
        async with self._one_at_a_time:
            deadline = asyncio.get_running_loop().time() + timeout
            while (state := (await self._states()).get(number, "UNAVAILABLE")) != "UNAVAILABLE":
                if state == _READY:
                    raise LoadRefused(f"version {number} serves: load the others without it before you retire it")
                if asyncio.get_running_loop().time() > deadline:
                    raise TritonFailed(f"version {number} is still {state.lower()} after {timeout:g} s; retry later")
                await asyncio.sleep(_LOOK_SECONDS)
            if number != FIRST:
                await asyncio.to_thread(remove, self._repository, number)

    async def close(self) -> None:
        await self._scorer.close()
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _connection(self) -> InferenceServerClient:
        if self._client is None:
            self._client = connect(self._address, self._tls)
        return self._client

    async def _load(self, config: str, timeout: float) -> None:
        """Order the server to load what `config` says: always all of it, since an order stays in force for later
        ones."""
        parsed = text_format.Parse(config, model_config_pb2.ModelConfig())
        as_json = json_format.MessageToJson(parsed, preserving_proto_field_name=True)
        try:
            await self._connection().load_model(MODEL, self._headers, config=as_json, client_timeout=timeout)
        except InferenceServerException as error:
            self._refuse(error)

    async def _states(self) -> dict[int, str]:
        """The state of each version that the server knows."""
        try:
            index: Any = await self._connection().get_model_repository_index(self._headers, client_timeout=CALL_SECONDS)
        except InferenceServerException as error:
            self._refuse(error)
        return {int(each.version): each.state for each in index.models if each.name == MODEL and each.version}

    def _refuse(self, error: InferenceServerException) -> NoReturn:
        status, message = str(error.status() or ""), str(error.message() or "")
        if "restricted" in message:
            raise ControlRefused(
                f"{self._address} does not let this client load models: start it with `ouzel triton serve "
                "--model-control`, and give this client the key of --control-key or OUZEL_TRITON_CONTROL_KEY"
            ) from None
        if status.endswith("INVALID_ARGUMENT"):
            raise LoadRefused(_reasons(message)) from None
        raise TritonFailed(
            f"{self._address} gave no answer ({status}: {message}); check the server, then ask which versions it has "
            "loaded"
        ) from None


def _reasons(message: str) -> str:
    """Why versions could not be loaded, in the server's words, without its traceback."""
    found: Sequence[tuple[str, str]] = _FAILED.findall(message)
    return "; ".join(f"version {number} cannot be loaded: {reason.strip()}" for number, reason in found) or message


def _listed(numbers: Collection[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))


def _still(numbers: Collection[int]) -> str:
    return f"version {_listed(numbers)} keeps serving" if numbers else "no version serves"
