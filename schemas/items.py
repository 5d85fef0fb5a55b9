"""The catalogue: the values of `ouzel.items`, keyed by item. A null value withdraws the item."""

from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.limits import MAX_ATTRIBUTES, Attribute, Id, Published, Text, Title, Vector


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="v", tag=1):
    """An item that can be recommended.

    `attributes` are short labels ("comedy", "red", "by Agatha Christie"); `published` is when the item may first be
    shown (milliseconds since 1970, negative for earlier dates). `image` and `audio` are optional embedding vectors of
    at most 2,048 numbers.
    """

    id: Id
    title: Title
    text: Text = ""
    attributes: Annotated[tuple[Attribute, ...], Meta(max_length=MAX_ATTRIBUTES)] = ()
    published: Published | None = None
    image: Vector | None = None
    audio: Vector | None = None
