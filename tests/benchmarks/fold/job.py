"""The job in plain Python: decode, drop duplicates, keep the last fifty events and decayed counts, encode.

The three peers import this module, and nothing else from this repository. It needs only msgspec.
"""

import msgspec

LAST = 50
IDS = 32
HALF_LIFE_MS = 7 * 86_400_000


class Event(msgspec.Struct):
    id: str
    user: str
    kind: str
    ts: int
    item: str | None = None
    scene: str = "default"


class State(msgspec.Struct):
    """One user's state: `recent` holds item, kind and time; `counts` is by kind, decayed to `ts`."""

    user: str
    ids: list[str] = []
    recent: list[tuple[str, str, int]] = []
    met: int = 0
    counts: dict[str, float] = {}
    ts: int = 0


decode = msgspec.msgpack.Decoder(Event).decode
decode_state = msgspec.msgpack.Decoder(State).decode
encode_state = msgspec.msgpack.Encoder().encode


def fold(state: State, event: Event) -> bool:
    """Fold `event` into `state`, in place; returns whether it was new."""
    if event.id in state.ids:
        return False
    state.ids.append(event.id)
    if len(state.ids) > IDS:
        del state.ids[0]
    state.recent.append((event.item or "", event.kind, event.ts))
    if len(state.recent) > LAST:
        del state.recent[0]
    state.met += 1
    if event.ts > state.ts:
        fade = 0.5 ** ((event.ts - state.ts) / HALF_LIFE_MS)
        for kind in state.counts:
            state.counts[kind] *= fade
        state.ts = event.ts
    state.counts[event.kind] = state.counts.get(event.kind, 0.0) + 1.0
    return True
