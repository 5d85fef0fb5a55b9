"""Write prompts as token ids: instruction, scene, steering, history, and candidates. Pure.

    What one person did, oldest first.          the instruction
    scene: home                                 the scene, unless it is "default"
    wish: less horror this week                 one line per steer sentence
    like: Heat (1995)                           one line per event of the history, oldest first
    click: Alien (1979)
    like:                                       the tail, once; then each candidate, independent of the others:
     Blade Runner (1982)

A new event extends the prefix at its end, so cached keys and values of everything before it stay valid. If the history
exceeds the window, the window's start is chosen by content, not by count: it stays the same for several events, where a
start that moves with each event would share no prefix with the last request.

Only events that the user liked are read. Every text is data: it has no line breaks and no control characters, its
control tokens are spelled out as characters, and its number of tokens is bounded.
"""

import zlib
from collections.abc import Sequence

from inference.errors import RequestRefused
from inference.settings import ModelSettings
from inference.transformer.packing import Prompt
from inference.transformer.tokenizer import Tokens, clean
from schemas.limits import MAX_STEERS
from schemas.scoring import Past, ScoreRequest

VERSION = "p2"
"""Part of the model version, since the prompt changes the scores."""

_MAX_LABEL_TOKENS = 8
_MAX_LABEL_CHARACTERS = 64
_CHARACTERS_A_TOKEN = 24
"""Text beyond this many characters per allowed token is cut before tokenization."""


def window(history: Sequence[Past], limit: int) -> Sequence[Past]:
    """The newest part of `history`: all of it if shorter than `limit`, else between half of `limit` and `limit` events.

    It starts at the event with the smallest checksum in the older half of the newest `limit` (the newest among equals),
    so the next request, one event longer, usually starts at the same event.
    """
    if len(history) < limit:
        return history
    newest = history[len(history) - limit :]
    older = range(limit - limit // 2)
    start = min(older, key=lambda i: (zlib.crc32(f"{newest[i].kind}\0{newest[i].text}".encode(errors="replace")), -i))
    return newest[start:]


class PromptWriter:
    """Writes prompts with a model's tokenizer, within the bounds of `settings`."""

    def __init__(self, tokens: Tokens, settings: ModelSettings) -> None:
        self._tokens = tokens
        self._settings = settings
        self._opening = tokens.control("What one person did, oldest first.\n")
        self._colon = tokens.control(":")
        self._end = tokens.control("\n")
        self._tail = (*tokens.data("like"), *self._colon)

    def write(self, request: ScoreRequest) -> Prompt:
        """Write the prompt of a request. Raises `RequestRefused` for more than `max_candidates`."""
        settings = self._settings
        if len(request.candidates) > settings.max_candidates:
            raise RequestRefused(
                f"{len(request.candidates)} candidates, at most {settings.max_candidates} are allowed; "
                "send fewer, or build the model repository with a larger max_candidates"
            )
        prefix = [*self.instruction(request.scene)]
        for sentence in request.steer[-MAX_STEERS:]:
            prefix += self._line("wish", sentence, settings.max_steer_tokens)
        for past in window([past for past in request.history if past.feeling > 0], settings.max_history):
            prefix += self._line(past.kind, past.text, settings.max_item_tokens)
        return self._prompt(prefix, tuple(self._text(c.text, settings.max_item_tokens) for c in request.candidates))

    def instruction(self, scene: str) -> tuple[int, ...]:
        """The tokens that every prefix of the scene begins with."""
        if scene == "default":
            return self._opening
        return (*self._opening, *self._line("scene", scene, _MAX_LABEL_TOKENS))

    def _prompt(self, stable: Sequence[int], candidates: tuple[tuple[int, ...], ...]) -> Prompt:
        return Prompt((*stable, *self._tail), len(stable), candidates)

    def _line(self, label: str, text: str, limit: int) -> tuple[int, ...]:
        name = self._tokens.data(clean(label[:_MAX_LABEL_CHARACTERS]))[:_MAX_LABEL_TOKENS]
        return (*name, *self._colon, *self._text(text, limit), *self._end)

    def _text(self, text: str, limit: int) -> tuple[int, ...]:
        """At least one token, at most `limit`."""
        plain = clean(text[: limit * _CHARACTERS_A_TOKEN])
        return self._tokens.data(f" {plain or '?'}")[:limit] or self._end
