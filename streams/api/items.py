"""`/v1/items/{id}`: reading the catalogue, and publishing changes of it."""

from collections.abc import Callable

import msgspec
from aiohttp import web

from schemas.codec import decode_item, encode
from schemas.errors import Refused
from schemas.http.items import MAX_ITEM_BYTES, Changed, ItemBody, ItemPath, ItemView
from schemas.items import Item
from schemas.topics import ITEMS
from streams.api.answers import in_json
from streams.api.problems import Kind, Problem
from streams.api.requests import of_path, read
from streams.items.catalogue import Catalogue
from streams.kafka.publisher import Output
from streams.web.sending import NotSent, Publish, send_in_time


class Items:
    """`is_read` says whether the worker has read the whole catalogue."""

    def __init__(self, *, catalogue: Catalogue, is_read: Callable[[], bool], publish: Publish) -> None:
        self._catalogue = catalogue
        self._is_read = is_read
        self._publish = publish

    async def get(self, request: web.Request) -> web.StreamResponse:
        item = self._catalogue.get(of_path(request, ItemPath).id)
        if item is None and not self._is_read():
            raise Problem(Kind.STARTING, "The worker is reading the catalogue. Try again in a few seconds.")
        if item is None:
            raise Problem(Kind.NOT_FOUND, "The catalogue has no item with this id: publish it, or check the id.")
        return in_json(ItemView(**{name: getattr(item, name) for name in ItemView.__struct_fields__}))

    async def put(self, request: web.Request) -> web.StreamResponse:
        name, body = of_path(request, ItemPath).id, await read(request, ItemBody, MAX_ITEM_BYTES)
        value = encode(Item(id=name, **msgspec.structs.asdict(body)))
        try:
            decode_item(value, key=name.encode())
        except Refused as refused:
            raise Problem(Kind.INVALID, refused.detail) from None
        return await self._send(name, value)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        return await self._send(of_path(request, ItemPath).id, None)

    async def _send(self, name: str, value: bytes | None) -> web.StreamResponse:
        try:
            await send_in_time(self._publish, [Output(ITEMS.name, name.encode(), value)])
        except NotSent as why:
            raise Problem(Kind.BROKERS, str(why)) from None
        return in_json(Changed(id=name), 202)
