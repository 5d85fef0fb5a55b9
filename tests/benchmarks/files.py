"""The cost of reading a file of events, compared with the standard library's csv reader:
`python -m tests.benchmarks.files`.

Each task runs in a separate process, for its peak memory. `--other FOLDER` also times another checkout in the same run.
On a busy machine, compare ratios of CPU time.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HEAD = (
    "import json, resource, sys, time\nfrom pathlib import Path\nbegun, path = time.perf_counter(), Path(sys.argv[1])\n"
)
TAIL = (
    "\nused = resource.getrusage(resource.RUSAGE_SELF)\n"
    "print(json.dumps({'events': events, 'seconds': time.perf_counter() - begun, "
    "'processor': used.ru_utime + used.ru_stime, 'mb': used.ru_maxrss / 1024}))\n"
)
TASKS = {
    "csv reader alone": "import csv\nevents = sum(1 for _ in csv.reader(path.open(newline='')))",
    "all events": "from deploy.datasets.dataset import from_files\nevents = len(from_files(path).events)",
    "--limit 3000": "from deploy.datasets.dataset import from_files\nevents = len(from_files(path, limit=3000).events)",
}


def write(path: Path, rows: int) -> None:
    """Ratings from 1 to 5 by 50,000 users of 20,000 items."""
    with path.open("w") as file:
        file.write("userId,movieId,rating,timestamp\n")
        for n in range(rows):
            file.write(f"{n % 50_000},{n * 7 % 20_000},{n % 5 + 1},{1_100_000_000 + n * 50}\n")


def measured(code: str, path: Path, folder: Path) -> dict[str, Any]:
    """Run one task in a separate process, with the modules of `folder`."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + code + TAIL, str(path)], cwd=folder, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--other", type=Path, help="a checkout to compare with")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    here = Path(__file__).parents[2]
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ratings.csv"
        write(path, asked.rows)
        for name, code in TASKS.items():
            figures[name] = measured(code, path, here)
        if asked.other is not None:
            figures[f"all events, {asked.other.name}"] = measured(TASKS["all events"], path, asked.other.resolve())
    base = figures["csv reader alone"]
    for name, one in figures.items():
        print(
            f"{name:28} {one['events']:>9,} rows {one['seconds']:7.2f} s {one['processor']:7.2f} s of processor "
            f"({one['processor'] / base['processor']:5.1f} x) {one['mb']:6.0f} MB ({one['mb'] - base['mb']:+.0f})"
        )
    if asked.json is not None:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
