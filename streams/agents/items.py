"""The catalogue from `ouzel.items`: every worker holds it whole, and refused items become dead letters once."""

import logging
from collections.abc import Iterable

from schemas.codec import decode_item
from schemas.dead_letters import DeadLetter
from schemas.errors import Refused
from schemas.topics import ITEMS
from streams.dead_letters import Placed, dead_letter
from streams.items.catalogue import Catalogue

log = logging.getLogger(__name__)


def stock(catalogue: Catalogue, key: bytes, value: bytes | None) -> None:
    """Apply a record of `ouzel.items`. A refused one changes nothing: `refused` reports it, in one worker."""
    try:
        if value is None:
            catalogue.withdraw(key.decode())
        else:
            catalogue.add(decode_item(value, key=key))
    except (Refused, UnicodeDecodeError):
        return
    except Exception as error:
        log.error("An item could not be taken into the catalogue: %s", type(error).__name__)


def refused(records: Iterable[Placed], now_ms: int) -> list[DeadLetter]:
    """The dead letters for those of `records` that are refused. A withdrawal is not refused."""
    letters = []
    for record in records:
        if record.value is None and record.key is not None:
            continue
        try:
            decode_item(record.value, key=record.key)
        except Exception as error:
            letters.append(dead_letter(ITEMS.name, record.partition, record, now_ms, error))
    return letters
