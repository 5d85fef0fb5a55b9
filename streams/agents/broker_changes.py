"""Take in each survey of the brokers: topics that were recreated or got partitions are read as they are now."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from schemas.topics import COVISITS, EVENTS
from streams.agents.covisits import Counting
from streams.agents.events import Lane
from streams.health.board import SURVEY, Board
from streams.health.conditions import Survey, assess
from streams.kafka.assignment import BatchLanes
from streams.kafka.connection import user_of
from streams.kafka.faust_transport import BatchConsumer
from streams.kafka.partitions import learn
from streams.kafka.replica import Replica
from streams.settings import Settings

log = logging.getLogger(__name__)


class BrokerChanges:
    """`survey` is the newest one. `needs` are the rights that the worker needs on each topic; `lanes`, `counting` and
    `replicas` are what it reads topics with."""

    def __init__(
        self,
        board: Board,
        needs: Mapping[str, frozenset[str]],
        settings: Settings,
        *,
        lanes: BatchLanes[Lane],
        counting: BatchLanes[Counting],
        replicas: Callable[[], Iterable[Replica]],
    ) -> None:
        self.survey = Survey()
        self._board = board
        self._needs = needs
        self._kafka = settings.kafka
        self._lanes = lanes
        self._counting = counting
        self._replicas = replicas

    def take(self, survey: Survey) -> dict[str, int]:
        """Take in a new survey; the number of partitions of each topic, for `keep_up`."""
        before, self.survey = self.survey, survey
        self._board.found(SURVEY, assess(survey, self._needs, self._kafka.app_id, user_of(self._kafka)))
        for lane in self._lanes.lanes.values():
            lane.look(survey.id_of(EVENTS.name))
        known_id = before.id_of(COVISITS.name)
        if known_id and survey.id_of(COVISITS.name) not in (b"", known_id):
            for counting in self._counting.lanes.values():
                counting.begin_again()
        for replica in self._replicas():
            facts, known = survey.topics.get(replica.topic), before.topics.get(replica.topic)
            if facts and known and known.partitions and (facts.id, facts.partitions) != (known.id, known.partitions):
                log.warning("%s was recreated or has more partitions: reading it again from its start", replica.topic)
                replica.again()
        return {name: facts.partitions for name, facts in survey.topics.items()}


async def keep_up(partitions: dict[str, int], client: Callable[[], Any], consumer: Callable[[], BatchConsumer]) -> None:
    """Let the clients use partitions that were added."""
    try:
        learn(client().client, partitions)
        await consumer().keep_up(partitions)
    except Exception as error:  # it is not started yet, or just ending
        log.debug("The clients could not apply the survey: %s", type(error).__name__)
