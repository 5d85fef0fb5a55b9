"""What a child process has in its environment: what programs need to run, and what it is given; no secret of ours.

A broker or a tritonserver needs neither the password of a worker nor the keys in the shell of the user who started it,
and environments end up in dumps and reports.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

KEPT = re.compile(
    # whose they are, and where things are
    r"PATH|HOME|USER|LOGNAME|SHELL|TMPDIR|TEMP|TMP|XDG_[A-Z]+_(HOME|DIRS?)|VIRTUAL_ENV|JAVA_HOME|SSL_CERT_(FILE|DIR)"
    # languages, times and terminals
    r"|LANG|LANGUAGE|LC_[A-Z]+|TZ|TERM|COLUMNS|LINES|NO_COLOR|FORCE_COLOR"
    # what a program is loaded with, and how much of the machine it takes
    r"|(DY)?LD_\w+|MALLOC_\w+|PYTHON[A-Z]*|(OMP|KMP|GOMP|MKL|OPENBLAS|ONEDNN|DNNL|ATEN|TORCH|PYTORCH|CUDA)_\w+"
    r"|NVIDIA_VISIBLE_DEVICES|NVIDIA_DRIVER_CAPABILITIES"
    # where models are kept on disk
    r"|HF_HOME|HF_HUB_CACHE|HF_HUB_OFFLINE|TRANSFORMERS_OFFLINE"
)
"""The variables that are passed on. Whatever else a child needs, it is given."""

OURS = "OUZEL_"


def environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child that is `given` these variables."""
    return {**{name: text for name, text in os.environ.items() if KEPT.fullmatch(name)}, **(given or {})}


@contextmanager
def without_settings() -> Iterator[None]:
    """Take the settings of workers out of this process's own environment, while processes start that inherit it."""
    held = {name: text for name, text in os.environ.items() if name.startswith(OURS)}
    for name in held:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(held)
