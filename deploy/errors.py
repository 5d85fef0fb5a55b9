"""What can go wrong when the parts are started.

DeployError
├── MissingPart     a program that this needs is not on this machine; the message says how to get it
├── StartFailed     a child ended, or did not answer in time; the message ends with the last lines of its log
├── TopicsDiffer    a topic exists with other settings than the contract's
└── BadSource       a file of events or items cannot be read as asked
"""


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


class TopicsDiffer(DeployError):
    """A topic exists, but not as the contract has it."""


class BadSource(DeployError):
    """A file of events or items cannot be read as asked."""
