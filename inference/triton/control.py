"""Access control of tritonserver: its public calls, and the key to all others (models, shared memory, logs, traces).

Readiness, model metadata and inference are public; over HTTP, only readiness. All other calls need a header with the
key. Without model control there is no key: the header's name contains a line feed, which neither protocol can send, so
that even a user who reads the server's command line gets no further.
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
    """The options of a tritonserver that serves `model`. Clients with `key` may swap it; without a key, none may."""
    header, value = (UNSENDABLE, secrets.token_urlsafe()) if key is None else (HEADER, key)
    mode = ["--model-control-mode=none"] if key is None else ["--model-control-mode=explicit", f"--load-model={model}"]
    return [
        *mode,
        f"--grpc-restricted-protocol={','.join(_GUARDED)}:{header}={value}",
        f"--http-restricted-api={','.join(_GUARDED_HTTP)}:{header}={value}",
    ]


def grpc_headers(key: str) -> dict[str, str]:
    """The headers of a gRPC client (`headers` of tritonclient's methods)."""
    return {f"triton-grpc-protocol-{HEADER}": key}


def http_headers(key: str) -> dict[str, str]:
    """The headers of an HTTP client."""
    return {HEADER: key}


def find_key(file: Path, environ: Mapping[str, str]) -> str:
    """The key in `environ`, else in `file`, which is created with a new key, readable only by its owner, if missing.

    Raises `SettingsError` for a key that is easy to guess or cannot be sent.
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
        raise SettingsError(f"{source} has no valid key: use 20 to 200 random letters, digits, - and _")
    return key
