"""Golden files: encoded messages that must stay readable. `python -m tests.schemas.goldens` adds missing files.

`golden/NAME.vN.msgpack` is a value as a writer of version N encoded it; `golden/NAME.vN.json` holds every field of the
message, defaults included. Existing files are never overwritten: such bytes are on users' topics.
"""

import base64
import json
from pathlib import Path
from typing import Any

import msgspec

from schemas.codec import encode
from tests.schemas.examples import EXAMPLES

FOLDER = Path(__file__).parent / "golden"


def plain(value: Any) -> Any:
    """A message as plain JSON data with every field; bytes in base64."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


def version_of(message: msgspec.Struct) -> int:
    tag = message.__struct_config__.tag
    assert isinstance(tag, int)
    return tag


def write_missing() -> None:
    for name, message in EXAMPLES.items():
        path = FOLDER / f"{name}.v{version_of(message)}"
        if not path.with_name(path.name + ".msgpack").exists():
            path.with_name(path.name + ".msgpack").write_bytes(encode(message))
            path.with_name(path.name + ".json").write_text(json.dumps(plain(message), indent=1) + "\n")
            print("wrote", path.name)


if __name__ == "__main__":
    write_missing()
