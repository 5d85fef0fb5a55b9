"""A real tritonserver with the scripted model, which can be killed, frozen and scripted."""

import contextlib
import os
import secrets
import signal
from pathlib import Path

from tritonclient.grpc import InferenceServerClient

from deploy.local.processes import guard, release
from inference.settings import ModelSettings
from inference.triton import control, server
from inference.triton.ports import free_ports
from inference.triton.repository import config_pbtxt
from tests.faults import scripts

MODEL_PY = f"""import sys

sys.path.append({str(Path(__file__).parents[2])!r})
from tests.faults.scripted_model import TritonPythonModel  # noqa: E402

__all__ = ["TritonPythonModel"]
"""


class Scorer:
    """The server; its address is stable across restarts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._model = folder / "repository" / server.MODEL
        self._grpc, self._metrics = free_ports(2)
        self._key = secrets.token_urlsafe()
        self._version = 0
        self._starts = 0
        self._server: server.TritonServer | None = None
        self._model.mkdir(parents=True)
        (self._model / "config.pbtxt").write_text(config_pbtxt(ModelSettings()))
        self._add_version()
        self.tell(scripts.ANSWER)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._grpc}"

    def start(self) -> None:
        self._starts += 1
        self._server = server.start(
            self._model.parent,
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

    def swap(self) -> str:
        """Replace the current version by the next; returns its name."""
        self._add_version()
        with InferenceServerClient(self.address) as client:
            client.load_model(server.MODEL, headers=control.grpc_headers(self._key), client_timeout=60)
        return f"scripted-{self._version}"

    def _add_version(self) -> None:
        self._version += 1
        folder = self._model / str(self._version)
        folder.mkdir()
        (folder / "model.py").write_text(MODEL_PY)

    def _signal(self, number: signal.Signals) -> None:
        assert self._server is not None, "the scorer runs"
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._server.pid, number)
