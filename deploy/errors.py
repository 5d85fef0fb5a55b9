"""What can go wrong when the parts are started, and what is said of any failure.

DeployError
├── MissingPart     a program that this needs is not on this machine; the message says how to get it
├── StartFailed     a child ended, or did not answer in time; the message ends with the last lines of its log
├── TooSlow         something that was waited for did not come about in time; the message says what
├── TopicsDiffer    a topic exists with other settings than the contract's
└── BadSource       a file of events or items cannot be read as asked
"""

import sys


class DeployError(Exception):
    """The root of what this package raises."""


class MissingPart(DeployError):
    """`part` is not on this machine; `remedy` is the operator's next step."""

    def __init__(self, part: str, remedy: str) -> None:
        super().__init__(f"{part} was not found. {remedy}")
        self.part = part
        self.remedy = remedy


class StartFailed(DeployError):
    """A child process ended or did not answer before its deadline."""


class TooSlow(DeployError):
    """A condition did not come true before its deadline."""


class TopicsDiffer(DeployError):
    """A topic exists, but not as the contract has it."""


class BadSource(DeployError):
    """A file of events or items cannot be read as asked."""


def first_of(error: BaseException) -> BaseException:
    """The failure that matters of a group: the first that this project raises on purpose, else the first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    causes = [first_of(each) for each in error.exceptions]
    return next((each for each in causes if expected(each) is not None), causes[0])


def expected(error: BaseException) -> str | None:
    """The sentence to show for an expected failure; None for a bug."""
    error = first_of(error)
    # What was never imported was never raised.
    known = [("inference.errors", "InferenceError"), ("streams.errors", "StreamsError")]
    loaded = [getattr(sys.modules[module], name) for module, name in known if module in sys.modules]
    if isinstance(error, (DeployError, *loaded)):
        return str(error)
    if "aiokafka.errors" in sys.modules and isinstance(error, sys.modules["aiokafka.errors"].KafkaError):
        return f"the brokers failed: {error!r}. Check that they run, and the address and the login."
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {error.filename}. Check that it is there, and that it may be read and written."
    if isinstance(error, TimeoutError):
        return str(error) or "something did not answer in time. End other programs, and try again."
    if isinstance(error, OSError):
        return f"the system refused something: {error}. Check disk, network and permissions."
    return None
