"""A real tritonserver with versions of the scripted model, which can be killed, frozen and scripted."""

import contextlib
import os
import py_compile
import secrets
import shutil
import signal
import sys
from pathlib import Path

from msgspec.structs import replace

from deploy.local.processes import guard, release
from inference.settings import ADAPTER, SETTINGS, WEIGHTS, DType, ModelSettings
from inference.triton import server
from inference.triton.model_control import ModelControl
from inference.triton.ports import free_ports
from inference.triton.repository import config_pbtxt, with_policy
from tests.faults import scripts

MODEL_PY = f"""import sys

sys.path.append({str(Path(__file__).parents[2])!r})
from tests.faults.scripted_model import TritonPythonModel  # noqa: E402

__all__ = ["TritonPythonModel"]
"""

FIRST, SECOND = 1, 2
ADAPTER_FILES = "adapter.json", "adapter.safetensors", "vectors.safetensors"
ADAPTER_BYTES = 4 << 20
"""Of each file: placing a version takes long enough to be killed meanwhile."""


class Scorer:
    """The server; its address is stable across restarts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.repository = folder / "repository"
        self.adapter = folder / "trained"
        """The files of an adapter, which the scripted model does not read."""
        self._model = self.repository / server.MODEL
        self._grpc, self._metrics = free_ports(2)
        self._key = secrets.token_urlsafe()
        self._newest = 0
        self._starts = 0
        self._server: server.TritonServer | None = None
        (self._model / WEIGHTS).mkdir(parents=True)
        self.adapter.mkdir()
        for name in ADAPTER_FILES:
            (self.adapter / name).write_bytes(os.urandom(ADAPTER_BYTES))
        (self._model / "config.pbtxt").write_text(with_policy(config_pbtxt(ModelSettings()), [FIRST]))
        self.add_version()
        self.add_version()
        self.tell(scripts.ANSWER)

    @property
    def key(self) -> str:
        """With it versions may be loaded."""
        return self._key

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._grpc}"

    def start(self) -> None:
        self._starts += 1
        self._server = server.start(
            self.repository,
            log=self._folder / f"triton-{self._starts}.log",
            grpc_port=self._grpc,
            metrics_port=self._metrics,
            control_key=self._key,
            on_started=guard,
            on_stopped=release,
        )

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    def kill(self) -> None:
        """Kill the server and its model, like a crash."""
        self._signal(signal.SIGKILL)
        self.stop()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def tell(self, script: str) -> None:
        """Set the script that the model follows."""
        aside = self._model / "script.aside"
        aside.write_text(script)
        aside.replace(self._model / scripts.FILE)

    def control(self) -> ModelControl:
        """A client that loads versions."""
        return ModelControl(self.address, self.repository, self._key)

    def new_number(self) -> int:
        """A number that no version had."""
        self._newest += 1
        return self._newest

    def taken(self, number: int) -> None:
        """A learner has used this number."""
        self._newest = max(self._newest, number)

    def add_version(self) -> int:
        """Put one more version into the repository, all at once; its number."""
        number = self.new_number()
        made = self._folder / f"version-{number}"
        shutil.copytree(self.adapter, made / ADAPTER)
        _write_model(made)
        (made / WEIGHTS).symlink_to(Path("..") / WEIGHTS)
        replace(ModelSettings(), dtype=DType.FP32, adapter=ADAPTER).write(made / SETTINGS)
        made.rename(self._model / str(number))
        return number

    def _signal(self, number: signal.Signals) -> None:
        assert self._server is not None, "the scorer runs"
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._server.pid, number)


def _write_model(folder: Path) -> None:
    """Write `model.py` with its bytecode: Triton loads a version again when its Python has written that itself."""
    source = folder / "model.py"
    source.write_text(MODEL_PY)
    cache = folder / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
    py_compile.compile(
        str(source), cfile=str(cache), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH
    )
