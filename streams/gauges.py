"""The gauges that are computed at each scrape."""

from streams.agents.covisits import Counting
from streams.agents.events import Lane
from streams.health.board import Board
from streams.health.conditions import CAUSES
from streams.items.catalogue import Catalogue
from streams.kafka.assignment import BatchLanes
from streams.metrics import LEARNED_BY, Metrics


def set_gauges(
    metrics: Metrics,
    *,
    ready: bool,
    board: Board,
    lanes: BatchLanes[Lane],
    counting: BatchLanes[Counting],
    catalogue: Catalogue,
    lacking: int,
    neighbours: int,
    learned: tuple[int, int],
) -> None:
    """Set them. `lacking` is the number of items without a vector of the version beside the champion, `neighbours` that
    of records read of the item graph, `learned` that of lists that the blends learned from, of this worker's partitions
    and of all."""
    metrics.ready.set(ready)
    metrics.unserved.clear()
    for (topic, cause), count in {**{("", cause): 0 for cause in CAUSES}, **board.counts()}.items():
        metrics.unserved.labels(topic, cause).set(count)
    metrics.uncounted.clear()
    for each in counting.lanes.values():
        if each.lag is not None:
            metrics.uncounted.labels(str(each.partition)).set(each.lag)
    contexts = 0
    metrics.lag.clear()
    metrics.state_bytes.clear()
    for lane in lanes.lanes.values():
        metrics.lag.labels(str(lane.partition)).set(lane.lag)
        if lane.state is not None:
            metrics.state_bytes.labels(str(lane.partition)).set(lane.state.size_bytes())
            contexts += lane.state.users()
    metrics.state_people.set(contexts)
    metrics.items.set(len(catalogue))
    metrics.undescribed.set(catalogue.vectors.waiting)
    metrics.challenger_lacking.set(lacking)
    metrics.neighbours.set(neighbours)
    for of, lists in zip(LEARNED_BY, learned, strict=True):
        metrics.blend_lists.labels(of).set(lists)
    metrics.unknown.set(len(catalogue.index.unknown))
