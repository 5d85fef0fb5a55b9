"""Tokenize text so that data can never become a control token."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tokenizers import Tokenizer

from inference.errors import WeightsError


def clean(text: str) -> str:
    """`text` on one line: runs of white space and everything unprintable become one space."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


class Tokens(Protocol):
    """The tokenizer interface that prompts need."""

    def data(self, text: str) -> tuple[int, ...]:
        """The ids of untrusted text: never a control token, whatever the text spells."""

    def control(self, text: str) -> tuple[int, ...]:
        """The ids of trusted instructions, which may contain control tokens."""


class FileTokens:
    """The tokenizer in a weights folder (`tokenizer.json`)."""

    def __init__(self, folder: Path) -> None:
        path = folder / "tokenizer.json"
        try:
            source = path.read_text(encoding="utf-8")
            self._control = Tokenizer.from_str(source)
            self._data = Tokenizer.from_str(source)
        except Exception as error:  # the library raises bare Exception
            raise WeightsError(f"{path}: {error}; rebuild the model repository") from None
        # Special tokens in data are encoded as plain characters. Added tokens that are not marked as special are still
        # matched, so all added ids are removed as well.
        self._data.encode_special_tokens = True
        self._added = frozenset(self._data.get_added_tokens_decoder())

    def data(self, text: str) -> tuple[int, ...]:
        return tuple(i for i in self._data.encode(text, add_special_tokens=False).ids if i not in self._added)

    def control(self, text: str) -> tuple[int, ...]:
        return tuple(self._control.encode(text, add_special_tokens=False).ids)


def single(tokens: Tokens, word: str) -> int:
    """The id of a word that must be a single token, like the answer words. Raises `WeightsError`."""
    ids: Sequence[int] = tokens.data(word)
    if len(ids) != 1:
        raise WeightsError(f"{word!r} is {len(ids)} tokens in this model but must be one; use another model")
    return ids[0]
