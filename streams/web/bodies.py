"""Reading the body of a request, bounded in bytes and in time."""

import asyncio

from aiohttp import web

BODY_SECONDS = 10.0


async def body_of(request: web.Request, most: int) -> bytes:
    """The body of a request, at most `most` bytes. Raises 413 if it is larger, and 408 if it takes too long."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.content.iter_any():
                body += part
                if len(body) > most:
                    raise web.HTTPRequestEntityTooLarge(max_size=most, actual_size=len(body))
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    return bytes(body)
