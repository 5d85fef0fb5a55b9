"""What a tritonserver lets everybody ask, and the key to the rest: models, shared memory, logs, traces.

Everybody may ask whether it is ready, what its model takes, and for inference; over HTTP, for readiness alone. The rest
takes a header with the key. Without model control there is no key: the header's name holds a line feed, which neither
protocol can send, so that not even whoever reads the server's command line gets further.
"""

import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from inference.errors import SettingsError

VARIABLE = "OUZEL_TRITON_CONTROL_KEY"
HEADER = "ouzel-control"
UNSENDABLE = "ouzel\nclosed"

_GUARDED = ("shared-memory", "model-config", "model-repository", "statistics", "trace", "logging")
_GUARDED_HTTP = ("metadata", "inference", *_GUARDED)
_KEY = re.compile(r"[A-Za-z0-9_-]{20,200}")


def server_options(model: str, key: str | None) -> list[str]:
    """The options of a tritonserver that serves `model`, which clients with `key` may swap; nobody if that is None."""
    header, value = (UNSENDABLE, secrets.token_urlsafe()) if key is None else (HEADER, key)
    mode = ["--model-control-mode=none"] if key is None else ["--model-control-mode=explicit", f"--load-model={model}"]
    return [
        *mode,
        f"--grpc-restricted-protocol={','.join(_GUARDED)}:{header}={value}",
        f"--http-restricted-api={','.join(_GUARDED_HTTP)}:{header}={value}",
    ]


def grpc_headers(key: str) -> dict[str, str]:
    """What a gRPC client sends with its calls (`headers` of tritonclient's methods)."""
    return {f"triton-grpc-protocol-{HEADER}": key}


def http_headers(key: str) -> dict[str, str]:
    """What an HTTP client sends with its requests."""
    return {HEADER: key}


def find_key(file: Path, environ: Mapping[str, str]) -> str:
    """The key in `environ`, else that in `file`, which is made with a new one if it is missing, for its owner alone.

    Raises `SettingsError` for a key that could be guessed, or not be sent.
    """
    if key := environ.get(VARIABLE):
        return _checked(key, VARIABLE)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        made = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _checked(file.read_text().strip(), str(file))
    with os.fdopen(made, "w") as output:
        output.write(secrets.token_urlsafe())
    return file.read_text()


def _checked(key: str, source: str) -> str:
    if not _KEY.fullmatch(key):
        raise SettingsError(f"{source} holds no key: it takes 20 to 200 letters, digits, - and _, chosen at random")
    return key
