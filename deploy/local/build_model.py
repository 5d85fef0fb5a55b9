"""Build the model in a separate process, which can be stopped at any time: `python -m deploy.local.build_model`.

Arguments: the folder of the model repository, the time in milliseconds from which lists will be judged, and perhaps an
adapter and a number format instead of the usual ones. A model trained on later events is refused. Prints one line per
step: done, total, label.
"""

import sys
from pathlib import Path

import msgspec

from inference.errors import InferenceError, WeightsError
from inference.item_tokens.adapter import Adapter, load, locate
from inference.settings import DType, ModelSettings, Strategy
from inference.triton.repository import build


def report(label: str, done: int, total: int) -> None:
    print(f"{done} {total} {label}", flush=True)  # noqa: T201 - the parent reads it


def parse(line: str) -> tuple[str, int, int] | None:
    """A line that `report` printed, as (label, done, total); None for any other line."""
    done, _, rest = line.partition(" ")
    total, _, label = rest.partition(" ")
    if not (done.isdecimal() and total.isdecimal() and label):
        return None
    return label, int(done), int(total)


def main(repository: str, judged_from_ms: str, adapter: str = "", dtype: str = "") -> int:
    settings = ModelSettings()
    try:
        if adapter:
            settings = msgspec.structs.replace(settings, adapter=adapter)
        if dtype:
            settings = msgspec.structs.replace(settings, dtype=DType(dtype))
        if settings.strategy is Strategy.ITEM_TOKENS:
            check_unseen(load(locate(settings.adapter)), int(judged_from_ms))
        build(Path(repository), settings, report)
    except InferenceError as error:
        print(error, flush=True)  # noqa: T201
        return 1
    return 0


def check_unseen(adapter: Adapter, judged_from_ms: int) -> None:
    """Raise `WeightsError` if the adapter was trained on events after that time."""
    if adapter.cut is not None and adapter.cut.ts > judged_from_ms:
        raise WeightsError(
            "the adapter was trained on events that lists would be judged on. Send more of the stream as history "
            f"(--history {adapter.cut.share:g} or more), or train an adapter on less of it (`ouzel train --until`)"
        )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
