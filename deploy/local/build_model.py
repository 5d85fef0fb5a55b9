"""Build the model in a separate process, which can be ended at any time: `python -m deploy.local.build_model`.

It takes the folder of the model repository, and the time from which on lists will be judged, in milliseconds: a model
that has learned from anything as late is refused. It prints a line a step: how much is done, of how much, and what.
"""

import sys
from pathlib import Path

from inference.errors import InferenceError, WeightsError
from inference.item_tokens.adapter import Adapter, load, locate
from inference.settings import ModelSettings, Strategy
from inference.triton.repository import build


def report(label: str, done: int, total: int) -> None:
    print(f"{done} {total} {label}", flush=True)  # noqa: T201 - the parent reads it


def parse(line: str) -> tuple[str, int, int] | None:
    """What `report` printed, as (label, done, total); None for any other line."""
    done, _, rest = line.partition(" ")
    total, _, label = rest.partition(" ")
    if not (done.isdecimal() and total.isdecimal() and label):
        return None
    return label, int(done), int(total)


def main(repository: str, judged_from_ms: str) -> int:
    settings = ModelSettings()
    try:
        if settings.strategy is Strategy.ITEM_TOKENS:
            check_unseen(load(locate(settings.adapter)), int(judged_from_ms))
        build(Path(repository), settings, report)
    except InferenceError as error:
        print(error, flush=True)  # noqa: T201
        return 1
    return 0


def check_unseen(adapter: Adapter, judged_from_ms: int) -> None:
    """Raises `WeightsError` if the adapter has learned from anything at or after that time."""
    if adapter.cut is not None and adapter.cut.ts > judged_from_ms:
        raise WeightsError(
            "the adapter has learned from events that lists would be judged on. Send more of the stream as past "
            f"(--history {adapter.cut.share:g} or more), or train an adapter on less of it (`ouzel train --until`)"
        )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
