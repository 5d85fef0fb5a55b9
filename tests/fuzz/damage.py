"""Damage to encoded values that readers may mishandle."""

import random
import struct

HEADERS = [
    *(bytes([byte]) for byte in (0xC0, 0xC1, 0xC2, 0xC3, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xE0, 0xFF, 0x00, 0x7F)),
    *(bytes([byte]) + struct.pack(">I", size) for byte in (0xC6, 0xC9, 0xDB, 0xDD, 0xDF) for size in (0, 9, 2**32 - 1)),
    *(b"\xcb" + struct.pack(">d", number) for number in (float("nan"), float("inf"), -0.0, 1e308, 5e-324)),
    *(b"\xcf" + struct.pack(">Q", number) for number in (0, 2**53, 2**63, 2**64 - 1)),
    b"\xd3" + struct.pack(">q", -(2**63)),
    b"\xd6\xff\x00\x00\x00\x00",
    b"\xc7\x0c\xff" + b"\xff" * 12,
]
PIECES = [b'"', b"\\", b"\\ud800", b"\\u0000", b"{", b"}", b"[", b"]", b":", b",", b"null", b"1e999", b"-0", b"NaN"]


def damaged(value: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """`value` with a few random changes."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(value) + 1)
        match rng.randrange(7):
            case 0:
                value = value[:at] + bytes([rng.randrange(256)]) + value[at + 1 :]
            case 1:
                value = value[:at]
            case 2:
                value = value[:at] + rng.choice(HEADERS if value[:1] >= b"\x80" else PIECES) + value[at:]
            case 3:
                value = value[:at] + value[at + rng.randint(1, 8) :]
            case 4:
                other = rng.choice(others)
                value = value[:at] + other[rng.randrange(len(other)) :]
            case 5:
                value = value[:at] + value[at : at + rng.randint(1, 16)] * rng.choice((2, 3, 50)) + value[at:]
            case _:
                if value:
                    at = rng.randrange(len(value))
                    value = value[:at] + bytes([value[at] ^ (1 << rng.randrange(8))]) + value[at + 1 :]
    return value
