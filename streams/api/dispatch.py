"""What happens around every handler: which origins may ask, how often, where the user is, and the form of refusals."""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from streams.api.cross_origin import CrossOrigin
from streams.api.forwarding import Forwarding
from streams.api.operations import OPERATIONS, Operation
from streams.api.ownership import Elsewhere
from streams.api.problems import Kind, Problem, said
from streams.clock import Clock
from streams.web.loopback import neighbourhood
from streams.web.rate import Buckets

MAX_ADDRESSES = 1_024

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Dispatch:
    """`per_second` bounds the requests of one address; `counted` is called with the operation and the status of each
    answer, `refused` with why a request was refused."""

    def __init__(
        self,
        *,
        origins: CrossOrigin,
        forwarding: Forwarding,
        per_second: float,
        clock: Clock,
        counted: Callable[[str, int], object],
        refused: Callable[[str], object],
    ) -> None:
        self._origins = origins
        self._forwarding = forwarding
        self._rates = Buckets(per_second, MAX_ADDRESSES)
        self._clock = clock
        self._counted = counted
        self._refused = refused

    def add_to(self, router: web.UrlDispatcher, handlers: Mapping[str, Handle]) -> None:
        """Serve every operation by the handler of its name."""
        for operation in OPERATIONS:
            router.add_route(operation.method, operation.route, self._answered(operation, handlers[operation.name]))

    def _answered(self, operation: Operation, handle: Handle) -> Handle:
        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                self._check(request)
                response = await self._at_owner(request, handle)
            except Problem as problem:
                if problem.why is not None:
                    self._refused(problem.why)
                response = said(problem)
            self._counted(operation.name, response.status)
            return response

        return answer

    async def _at_owner(self, request: web.Request, handle: Handle) -> web.StreamResponse:
        try:
            return await handle(request)
        except Elsewhere as elsewhere:
            return await self._forwarding.forward(request, elsewhere.partition)

    def _check(self, request: web.Request) -> None:
        if not self._origins.allows(request):
            raise Problem(
                Kind.ORIGIN, "List this origin in OUZEL_WEB_CORS_ORIGINS if it may use the API.", why="origin"
            )
        if not self._rates.take(neighbourhood(request.remote or ""), self._clock.monotonic()):
            raise Problem(
                Kind.RATE, "Send fewer requests: several events fit into one (OUZEL_WEB_API_PER_SECOND).", why="rate"
            )
