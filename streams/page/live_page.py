"""The live page of a worker, put together from the worker's parts."""

import secrets
from collections.abc import Callable

from aiohttp import web

from streams.agents.events import Lane
from streams.clock import Clock
from streams.graph.item_graph import ItemGraph
from streams.items.catalogue import Catalogue
from streams.kafka.assignment import BatchLanes
from streams.metrics import Metrics
from streams.page.guests import PREFIX
from streams.page.incognito_routes import Incognito
from streams.page.picks import picks
from streams.page.requests import AREA
from streams.page.routes import Page
from streams.page.searching import Searching, Whose
from streams.page.versions import VersionsView
from streams.page.viewing import Viewing
from streams.page.views import namer
from streams.page.why import Shown, Why
from streams.privacy.pseudonyms import alias_with
from streams.serving.explaining import Explaining
from streams.serving.one_off import OneOffLists
from streams.serving.searching import Search
from streams.settings import Settings
from streams.web.guard import Area
from streams.web.own_users import OwnUsers
from streams.web.rate import Renewed
from streams.web.sending import Publish


class LivePage:
    """`partitions` returns how many partitions the events' topic has, None while unknown; `versions`, what the page
    shows of the model's versions; `search` is there if it is on. Set `lists` and `explaining` once the worker makes
    lists."""

    def __init__(
        self,
        settings: Settings,
        *,
        catalogue: Catalogue,
        graph: ItemGraph,
        lanes: BatchLanes[Lane],
        partitions: Callable[[], int | None],
        search: Search | None,
        publish: Publish,
        versions: Callable[[], VersionsView],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self.lists: OneOffLists | None = None
        self.explaining: Explaining | None = None
        self._settings = settings
        self._catalogue = catalogue
        self._graph = graph
        self._search = search
        self._publish = publish
        self._metrics = metrics
        self._clock = clock
        alias = alias_with(settings.privacy.pseudonym_key.reveal())
        self._own_users = OwnUsers(lanes, partitions, alias, secrets.token_hex)
        self.viewing = Viewing(
            catalogue=catalogue,
            context=self._own_users.context,
            versions=versions,
            metrics=metrics,
            most_streams=max(1, settings.web.max_connections // 2),
        )

    @property
    def is_on(self) -> bool:
        return self._settings.web.page != "off"

    @property
    def area(self) -> Area:
        """The paths of the page, for the guard."""
        return AREA

    def add_to(self, application: web.Application, refused: Callable[[str], None]) -> None:
        """Serve the page, if it is on, behind the guard, which has `AREA`."""
        if not self.is_on:
            return
        name, clock, catalogue = namer(self._catalogue), self._clock, self._catalogue
        incognito = Incognito(
            lists=lambda: self.lists,
            catalogue=catalogue,
            likes_of=self.viewing.likes,
            draw=secrets.token_hex,
            clock=clock,
            held=self._metrics.incognito.set,
        )
        assert self._search is not None, "the page is on"
        searching = Searching(
            search=self._search,
            catalogue=catalogue,
            lists=lambda: self.lists,
            whose=lambda key, user: self._whose(page, incognito, key, user),
            clock=clock,
        )
        why = Why(
            shown=lambda key, user: self._shown(page, incognito, key, user),
            explaining=lambda: self.explaining,
            name=name,
            clock=clock,
        )
        page = Page(
            viewing=self.viewing,
            publish=self._publish,
            picks=Renewed(lambda: picks(catalogue, self._graph, clock.now_ms()), 1.0, clock.monotonic),
            named=lambda item: name(item) if catalogue.get(item) is not None else None,
            new_user=lambda: self._own_users.new(PREFIX),
            draw=secrets.token_hex,
            clock=clock,
            refused=refused,
            sent=self._metrics.page_events.inc,
            beside=(*incognito.routes, *searching.routes, *why.routes),
        )
        page.add_to(application)
        application.on_shutdown.append(incognito.close)

    def _shown(self, page: Page, incognito: Incognito, key: str, user: str | None) -> Shown | None:
        """The list that a page shows: that of an incognito visitor or a guest by key, else of a user seen here."""
        if key:
            session = incognito.find(key)
            if session is not None:
                return None if self.lists is None else incognito.shown(session, self.lists)
            user = page.user_of(key)
        made = None if user is None else self.viewing.last(user)
        subject = None if made is None else self._own_users.subject(made.user)
        return None if made is None or subject is None else Shown(made, subject)

    def _whose(self, page: Page, incognito: Incognito, key: str, user: str | None) -> Whose | None:
        """Whom a page shows: an incognito visitor or a guest by key, else a user whose lists are seen here."""
        scene: str | None = "default"
        if key:
            session = incognito.find(key)
            if session is not None and self.lists is not None:
                return Whose(key, self.lists.basis(session.events()), "default")
            user = page.user_of(key)
        elif user is not None:
            scene = self.viewing.scene_of(user)
        basis = None if user is None else self._own_users.basis(user)
        return None if basis is None or scene is None else Whose(key or f"user {user}", basis, scene)
