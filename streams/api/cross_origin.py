"""Which other web sites may ask, by the CORS protocol. By default none may.

There are no cookies, so a site can do nothing that the program which runs on it could not do elsewhere with the token.
Without a token, on loopback, a browser on this machine would let any site send requests: so those of other origins are
refused unless they are listed.
"""

from urllib.parse import urlsplit

from aiohttp import web

ALLOWED = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Accept-Language",
    "Access-Control-Max-Age": "600",
}


class CrossOrigin:
    """The origins that may ask beside the worker's own, as browsers send them: "https://shop.example"."""

    def __init__(self, origins: frozenset[str]) -> None:
        self._origins = origins

    def allows(self, request: web.Request) -> bool:
        """Whether a request is of no other site, or of a listed one."""
        origin = request.headers.get("Origin")
        if origin is not None:
            own = urlsplit(origin).netloc.lower() == request.headers.get("Host", "").lower()
            return own or origin.lower() in self._origins
        return request.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin")

    def preflight(self, request: web.Request) -> web.Response | None:
        """The answer to a browser that asks whether a listed site may send a request; None for other requests."""
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
            return None
        return web.Response(status=204, headers=ALLOWED) if self._listed(request) else None

    def mark(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Let a browser pass an answer to a listed site."""
        if self._origins:
            response.headers["Vary"] = "Origin"
        if self._listed(request):
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = "Retry-After, Allow"

    def _listed(self, request: web.BaseRequest) -> bool:
        return request.headers.get("Origin", "").lower() in self._origins
