"""What made a partition start over, for the log and the metric. Pure."""

from aiokafka.errors import KafkaError

from streams.errors import StoreFailed, StreamsError
from streams.metrics import CAUSES


def cause_of(error: BaseException) -> str:
    """The cause as the metric has it (`streams.metrics.CAUSES`); of several the first, so a failing disk above all."""
    if isinstance(error, BaseExceptionGroup):
        return min(map(cause_of, error.exceptions), key=CAUSES.index)
    if isinstance(error, StoreFailed):
        return "disk"
    return "brokers" if isinstance(error, KafkaError) else "other"


def describe(error: BaseException) -> list[str]:
    """The kinds of the errors that came together, without what they hold, which may name a person; our own in full."""
    if isinstance(error, BaseExceptionGroup):
        return [each for inner in error.exceptions for each in describe(inner)]
    return [f"{type(error).__name__}: {error}" if isinstance(error, StreamsError) else type(error).__name__]
