"""A worker whose model is scripted: `python -m tests.support.scripted_worker`.

Versions 1 to 3 are loaded, and a request without a number gets the newest.
"""

import sys

from streams.worker import run
from tests.support.roles import versions

COMMAND = [sys.executable, "-m", "tests.support.scripted_worker"]

if __name__ == "__main__":
    sys.exit(run(lambda _: versions(1, 2, 3)))
