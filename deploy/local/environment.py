"""The environment of child processes: variables that programs need, and explicit ones; none of Ouzel's secrets.

A broker or a tritonserver needs neither a worker's password nor the keys in the user's shell, and environments end up
in dumps and reports.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

KEPT = re.compile(
    # the user, and paths
    r"PATH|HOME|USER|LOGNAME|SHELL|TMPDIR|TEMP|TMP|XDG_[A-Z]+_(HOME|DIRS?)|VIRTUAL_ENV|JAVA_HOME|SSL_CERT_(FILE|DIR)"
    # language, time zone and terminal
    r"|LANG|LANGUAGE|LC_[A-Z]+|TZ|TERM|COLUMNS|LINES|NO_COLOR|FORCE_COLOR"
    # the loader, and use of threads, memory and GPUs
    r"|(DY)?LD_\w+|MALLOC_\w+|PYTHON[A-Z]*|(OMP|KMP|GOMP|MKL|OPENBLAS|ONEDNN|DNNL|ATEN|TORCH|PYTORCH|CUDA)_\w+"
    r"|NVIDIA_VISIBLE_DEVICES|NVIDIA_DRIVER_CAPABILITIES"
    # the folders of models
    r"|HF_HOME|HF_HUB_CACHE|HF_HUB_OFFLINE|TRANSFORMERS_OFFLINE"
)
"""The variables that children inherit. All others must be given explicitly."""

OURS = "OUZEL_"

CHILDREN = {
    "HF_HUB_OFFLINE": "1",
    # Waiting threads of a model must yield their core: spinning made a pass several times slower where the demo's
    # processes share two cores.
    "OMP_WAIT_POLICY": "PASSIVE",
    "OPENBLAS_NUM_THREADS": "1",
}
"""Environment variables of every child."""


def environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child: inherited variables and the `given` ones."""
    return {**{name: text for name, text in os.environ.items() if KEPT.fullmatch(name)}, **(given or {})}


@contextmanager
def without_settings() -> Iterator[None]:
    """Remove the settings of workers from this process's environment while processes that inherit it start."""
    held = {name: text for name, text in os.environ.items() if name.startswith(OURS)}
    for name in held:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(held)
