"""How soon a model that adds nothing is no longer asked, in simulation: python -m tests.benchmarks.asking [--seeds 200]

Draws likes of lists with a model and without it (`tests.support.paired_likes`), by what the model adds to a hit ratio
of 0.22 and by the share of likes that only one of the two lists shows. Prints after how many compared likes the model
adds nothing (10%, median and 90% of the runs; inf: not within a window), and in how many of the runs.
Exits with 1 if a model that adds the margin is dropped in more than the stated share of the runs.
"""

import argparse
import sys
import time

import numpy as np

from streams.ranking.gain import RISK, WINDOW
from tests.support.paired_likes import Model

GAINS = (-0.02, 0.0, 0.005, 0.01, 0.03)
APART = (0.12, 0.2)
MARGINS = (0.005, 0.01)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    given = parser.parse_args()
    began, wrong = time.monotonic(), 0.0
    for margin in MARGINS:
        for apart in APART:
            print(f"\nmargin {margin:g}, one list alone shows {apart:.0%} of the likes")
            for gain in GAINS:
                runs = [
                    Model(gain, apart).stopped(margin, np.random.default_rng(seed), most=WINDOW)
                    for seed in range(given.seeds)
                ]
                likes = np.percentile([each or np.inf for each in runs], [10, 50, 90], method="lower")
                share = sum(each is not None for each in runs) / given.seeds
                spread = "  ".join(f"{each:>9,.0f}" for each in likes)
                print(f"  gain {gain:+.3f}  {spread}   no longer asked in {share:.1%} of the runs", flush=True)
                wrong = max(wrong, share if gain >= margin else 0.0)
    print(f"\nwrongly at most {wrong:.1%}, stated {RISK:.0%}; {time.monotonic() - began:.0f} s")
    return int(wrong > RISK)


if __name__ == "__main__":
    sys.exit(main())
