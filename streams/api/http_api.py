"""The HTTP API of a worker, put together from the worker's parts."""

import secrets
from collections.abc import Callable

from aiohttp import web

from schemas.recommendations import Recommendation
from streams.agents.events import Lane
from streams.api.answers import as_bytes
from streams.api.cross_origin import CrossOrigin
from streams.api.dispatch import Dispatch, Handle
from streams.api.events import Events
from streams.api.explanations import Explanations
from streams.api.forwarding import Addresses, Forwarding
from streams.api.items import Items
from streams.api.latest import Latest
from streams.api.lists import ListsOverHttp
from streams.api.openapi import as_json
from streams.api.operations import max_body
from streams.api.ownership import Ownership
from streams.api.problems import of_refusal
from streams.api.search import SearchOverHttp
from streams.api.sessions import RequestSessions
from streams.api.steering import Steering
from streams.api.users import Users
from streams.api.views import published_list
from streams.clock import Clock
from streams.items.catalogue import Catalogue
from streams.kafka.assignment import BatchLanes
from streams.metrics import Metrics
from streams.privacy.pseudonyms import alias_with
from streams.serving.explaining import Explaining
from streams.serving.one_off import OneOffLists
from streams.serving.searching import Search
from streams.settings import Settings
from streams.web.event_streams import message
from streams.web.guard import Area
from streams.web.own_users import OwnUsers
from streams.web.sending import Publish


class HttpApi:
    """`partitions` returns how many partitions the events' topic has, None while unknown; `addresses`, where the
    group's workers are; `is_read`, whether the whole catalogue is read. `own_address` is that of this worker, and
    `search` is there if the API is on. Set `lists` and `explaining` once the worker makes lists."""

    def __init__(
        self,
        settings: Settings,
        *,
        catalogue: Catalogue,
        search: Search | None,
        is_read: Callable[[], bool],
        lanes: BatchLanes[Lane],
        partitions: Callable[[], int | None],
        publish: Publish,
        addresses: Callable[[], Addresses],
        own_address: str,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self.lists: OneOffLists | None = None
        self.explaining: Explaining | None = None
        self._settings = settings
        self._catalogue = catalogue
        self._search = search
        self._is_read = is_read
        self._publish = publish
        self._metrics = metrics
        self._clock = clock
        alias = alias_with(settings.privacy.pseudonym_key.reveal())
        own_users = OwnUsers(lanes, partitions, alias, secrets.token_hex)
        self._ownership = Ownership(own_users)
        self._origins = CrossOrigin(settings.web.origins)
        self._forwarding = Forwarding(addresses=addresses, own=own_address, topic=lanes.topic, token=settings.web.token)
        self._sessions = RequestSessions(lambda: self.lists)
        self._events = Events(
            publish=publish,
            accepted_from_ms=settings.folding.oldest_event_ms,
            draw=secrets.token_hex,
            clock=clock,
            sent=metrics.api_events.inc,
        )
        self.latest = Latest(
            partition=own_users.partition,
            told=self._told,
            dropped=metrics.api_dropped.inc,
            most_streams=max(1, settings.web.max_connections // 4),
        )

    @property
    def is_on(self) -> bool:
        return self._settings.web.api != "off"

    @property
    def area(self) -> Area:
        """The paths of the API, for the guard."""
        return Area("/v1/", max_body, of_refusal, self._origins.preflight)

    def add_to(self, application: web.Application, refused: Callable[[str], object]) -> None:
        """Serve the API, if it is on, behind the guard, which has its area."""
        if not self.is_on:
            return
        dispatch = Dispatch(
            origins=self._origins,
            forwarding=self._forwarding,
            per_second=self._settings.web.api_per_second,
            clock=self._clock,
            counted=lambda name, status: self._metrics.api_requests.labels(name, str(status)).inc(),
            refused=refused,
        )
        dispatch.add_to(application.router, self._handlers())
        application.on_response_prepare.append(self._mark)
        application.on_shutdown.append(self._close)

    def _handlers(self) -> dict[str, Handle]:
        lists = ListsOverHttp(
            lists=lambda: self.lists,
            latest=self.latest,
            ownership=self._ownership,
            sessions=self._sessions,
            catalogue=self._catalogue,
            clock=self._clock,
        )
        items = Items(catalogue=self._catalogue, is_read=self._is_read, publish=self._publish)
        assert self._search is not None, "the API is on"
        search = SearchOverHttp(
            search=self._search,
            catalogue=self._catalogue,
            lists=lambda: self.lists,
            ownership=self._ownership,
            is_read=self._is_read,
        )
        explanations = Explanations(
            explaining=lambda: self.explaining,
            latest=self.latest,
            ownership=self._ownership,
            catalogue=self._catalogue,
            clock=self._clock,
        )
        users = Users(
            ownership=self._ownership,
            latest=self.latest,
            catalogue=self._catalogue,
            publish=self._publish,
            draw=secrets.token_hex,
            clock=self._clock,
            streams=self._metrics.api_streams.set,
        )
        return {
            "sendEvents": self._events.post,
            "recommend": lists.recommend,
            "getRecommendations": lists.latest,
            "getItem": items.get,
            "putItem": items.put,
            "deleteItem": items.delete,
            "search": search.get,
            "steer": Steering(self._events).post,
            "explain": explanations.get,
            "getContext": users.context,
            "exportUser": users.export,
            "streamLists": users.stream,
            "eraseUser": users.erase,
            "getOpenApi": _served(as_json()),
        }

    def _told(self, made: Recommendation) -> bytes:
        return message("list", published_list(made, self._catalogue), as_bytes)

    async def _mark(self, request: web.Request, response: web.StreamResponse) -> None:
        if request.path.startswith("/v1/"):
            self._origins.mark(request, response)

    async def _close(self, _application: web.Application) -> None:
        self.latest.close_all()
        await self._sessions.close()
        await self._forwarding.close()


def _served(text: bytes) -> Handle:
    async def serve(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=text, content_type="application/json")

    return serve
