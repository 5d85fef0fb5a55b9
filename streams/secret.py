"""A text that cannot be printed, joined or stored by accident."""

import hmac
from typing import Any, NoReturn

SHOWN = "<secret>"


class Secret:
    """A secret setting. Only `reveal` returns its text.

    It is not a `str`: `repr`, `str`, f-strings and logs show `<secret>`; concatenation, joining, JSON, MessagePack and
    pickle raise TypeError. An empty one is false and shows nothing.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        """The text, to be sent or computed with. Do not keep it in a variable longer than needed."""
        return self._text

    def matches(self, given: str) -> bool:
        """Whether `given` is the text, in constant time. Nothing matches an empty secret."""
        # As bytes: letters outside ASCII are compared as well, and lone surrogates, which headers are decoded to.
        same = hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self._text.encode("utf-8", "surrogatepass"))
        return same and bool(self._text)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return SHOWN if self._text else "<no secret>"

    def __str__(self) -> str:
        return SHOWN if self._text else ""

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return other.matches(self._text) or not (self._text or other._text)

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> "Secret":
        return self

    def __reduce_ex__(self, _protocol: Any) -> NoReturn:
        raise TypeError("a secret is not pickled: send a value derived from it, or read the setting again")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a secret has no state to store: use reveal() where its text is needed")


NO_SECRET = Secret()
