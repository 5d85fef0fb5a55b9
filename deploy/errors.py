"""Errors of the command line and of local processes, and user-facing messages for known failures.

DeployError
├── MissingPart     a required program or package is not installed; the message says how to get it
├── StartFailed     a child process exited or did not answer in time; the message ends with the last lines of its log
├── TooSlow         a condition was not met in time; the message says which
├── TopicsDiffer    a topic has different settings than the contract
├── BadSource       a file of events or items cannot be read
└── SeenBefore      a model would be judged by events that it may have learned from
"""

import sys


class DeployError(Exception):
    """Base class of the errors that this package raises."""


class MissingPart(DeployError):
    """`part` is not installed; `remedy` is the operator's next step."""

    def __init__(self, part: str, remedy: str) -> None:
        super().__init__(f"{part} was not found. {remedy}")
        self.part = part
        self.remedy = remedy


class StartFailed(DeployError):
    """A child process exited or did not answer before its deadline."""


class TooSlow(DeployError):
    """A condition was not met before its deadline."""


class TopicsDiffer(DeployError):
    """A topic has different settings than the contract."""


class BadSource(DeployError):
    """A file of events or items cannot be read."""


class SeenBefore(DeployError):
    """A model would be judged by events that it may have learned from."""


def first_of(error: BaseException) -> BaseException:
    """The most relevant error of a group: the first known one (see `expected`), else the first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    causes = [first_of(each) for each in error.exceptions]
    return next((each for each in causes if expected(each) is not None), causes[0])


def expected(error: BaseException) -> str | None:
    """The message for a known failure; None for a bug."""
    error = first_of(error)
    # Only loaded modules can have raised their errors; importing them here would be slow.
    known = [("inference.errors", "InferenceError"), ("streams.errors", "StreamsError")]
    loaded = [getattr(sys.modules[module], name) for module, name in known if module in sys.modules]
    if isinstance(error, (DeployError, *loaded)):
        return str(error)
    if "aiokafka.errors" in sys.modules and isinstance(error, sys.modules["aiokafka.errors"].KafkaError):
        return f"the brokers failed: {error!r}. Check that they are running, and check the address and the login."
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {error.filename}. Check that it exists and is readable and writable."
    if isinstance(error, TimeoutError):
        return str(error) or "an operation timed out. Stop other programs, and try again."
    if isinstance(error, OSError):
        return f"a system call failed: {error}. Check disk, network and permissions."
    return None
