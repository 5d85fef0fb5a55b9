"""Every metric that a worker exports: names, labels and buckets.

Labels come from our own enumerations or from partition numbers, never from what a person or a producer sends: no user,
no item, no scene.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.errors import Refusal
from schemas.events import EventKind
from schemas.feedback import Outcome
from schemas.recommendations import Degraded
from schemas.topics import ALL, COVISITS, EVENTS, ITEMS, PRIVACY
from streams.health.conditions import CAUSES

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0)
BATCH = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000)

FULL = "none"
"""The label of a list that the model had its part in."""


HITS = ("list", "without_model", "popularity")
"""Whose hits are counted."""

REFUSALS = ("host", "token", "body", "rate", "unreadable", "connections")
"""Why a request to the pages was refused; with `connections`, one ended to make room for another."""


class Metrics:
    """The metrics of one worker, on a registry of its own (default: a new one)."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        reg = self.registry
        self.events = Counter("ouzel_events", "Events folded, by kind.", ["kind"], registry=reg)
        self.repeats = Counter("ouzel_repeated_events", "Events dropped because they were folded before.", registry=reg)
        self.unseen = Counter(
            "ouzel_dropped_seen_marks",
            "Marks of seen items dropped because a user has too many: those items may be on their lists again.",
            registry=reg,
        )
        self.dead_letters = Counter("ouzel_dead_letters", "Inputs refused, by reason code.", ["code"], registry=reg)
        self.oversized = Counter(
            "ouzel_oversized_records",
            "Records not published because their topic takes none of that size, by topic.",
            ["topic"],
            registry=reg,
        )
        self.batch_events = Histogram("ouzel_batch_events", "Events in one batch.", buckets=BATCH, registry=reg)
        self.batch_seconds = Histogram(
            "ouzel_batch_seconds", "From taking a batch to having its state written.", buckets=SECONDS, registry=reg
        )
        self.lag = Gauge("ouzel_lag_records", "Events not read yet, by partition.", ["partition"], registry=reg)
        self.uncounted = Gauge(
            "ouzel_uncounted_records",
            "Records of co-visits not counted into the item graph yet, by partition.",
            ["partition"],
            registry=reg,
        )
        self.state_bytes = Gauge("ouzel_state_bytes", "State on disk, by partition.", ["partition"], registry=reg)
        self.state_people = Gauge("ouzel_state_people", "People with a context in the cache.", registry=reg)
        self.recovery_seconds = Histogram(
            "ouzel_recovery_seconds",
            "From a partition's assignment, or from starting over, to its first batch.",
            buckets=SECONDS,
            registry=reg,
        )
        self.loop_lag = Histogram(
            "ouzel_loop_lag_seconds",
            "How late the event loop runs a timer, looked at ten times a second: so long a page waits as well.",
            buckets=SECONDS,
            registry=reg,
        )
        self.restarts = Counter(
            "ouzel_restarted_partitions",
            "Partitions that started over from what is durable, by cause.",
            ["cause"],
            registry=reg,
        )
        self.ready = Gauge("ouzel_ready", "1 while the worker serves everything that is its own.", registry=reg)
        self.unserved = Gauge(
            "ouzel_unserved",
            "Conditions that keep something from being served, by topic (empty: all) and cause.",
            ["topic", "cause"],
            registry=reg,
        )
        self.failed_looks = Counter(
            "ouzel_failed_looks", "Looks at the brokers, every three seconds, that they did not answer.", registry=reg
        )
        self.lost = Counter(
            "ouzel_lost_records", "Records deleted by retention before they were read.", ["topic"], registry=reg
        )
        self.expired = Counter("ouzel_expired_people", "Contexts cleared because they expired.", registry=reg)
        self.erased = Counter("ouzel_erased_people", "People cleared by an erasure order.", registry=reg)
        self.counted = Counter("ouzel_counted_events", "Events counted into the item graph, by owners.", registry=reg)
        self.evicted = Counter(
            "ouzel_evicted_items",
            "Ids that no catalogue knows, evicted from the item graph with what was counted of them.",
            registry=reg,
        )
        self.unknown = Gauge("ouzel_unknown_items", "Ids in the item graph that no catalogue knows.", registry=reg)
        self.items = Gauge("ouzel_catalogue_items", "Items that can be recommended.", registry=reg)
        self.neighbours = Gauge("ouzel_neighbour_records", "Items with a record in the item graph.", registry=reg)

        self.lists = Counter("ouzel_lists", "Lists published, by what kept the model out.", ["degraded"], registry=reg)
        self.event_to_list = Histogram(
            "ouzel_event_to_list_seconds", "From an event to the list that answers it.", buckets=SECONDS, registry=reg
        )
        self.list_seconds = Histogram(
            "ouzel_list_seconds", "From taking up a trigger to publishing its list.", buckets=SECONDS, registry=reg
        )
        self.scoring_seconds = Histogram(
            "ouzel_scoring_seconds", "From asking the model to its answer.", buckets=SECONDS, registry=reg
        )
        self.model = Gauge(
            "ouzel_model",
            "1 for the model version that answered last; its name says the number format.",
            ["version"],
            registry=reg,
        )
        self._model = ""
        self.described = Counter("ouzel_described_items", "Items that the model gave a vector.", registry=reg)
        self.refused_describes = Counter(
            "ouzel_refused_describes",
            "Questions about items that the model had no room for; they are asked again.",
            registry=reg,
        )
        self.undescribed = Gauge("ouzel_undescribed_items", "Items that wait for a vector of the model.", registry=reg)
        self.reading_seconds_left = Gauge(
            "ouzel_reading_seconds_left",
            "Until all items have a vector, at the rate of late; NaN: unknown.",
            registry=reg,
        )
        self.coalesced = Counter("ouzel_coalesced_triggers", "Triggers replaced by the person's next.", registry=reg)
        self.stale = Counter("ouzel_stale_triggers", "Events too old to make a list for.", registry=reg)
        self.shed = Counter("ouzel_shed_triggers", "Triggers dropped because too many people waited.", registry=reg)
        self.waiting = Gauge("ouzel_waiting_people", "People whose next list is being made.", registry=reg)
        self.feedback = Counter("ouzel_feedback", "Reactions joined with lists, by outcome.", ["outcome"], registry=reg)
        self.judged = Counter(
            "ouzel_judged_likes", "Likes that judge a list of the sample: one list in four, drawn by id.", registry=reg
        )
        self.hits = Counter(
            "ouzel_list_hits",
            "Judged likes found in the first ten: of the list, of the list without the model, of the popular items.",
            ["of"],
            registry=reg,
        )
        self.failed_sources = Counter(
            "ouzel_failed_sources",
            "Lists made without a custom candidate source because it failed, by source.",
            ["source"],
            registry=reg,
        )
        self.refitted_blends = Counter(
            "ouzel_refitted_blends",
            "Blends learned with other signals than this worker's, and matched by name.",
            registry=reg,
        )
        self.refused_requests = Counter(
            "ouzel_refused_requests",
            "Requests to the worker's pages that were refused, by why; connections: ended because there were too many.",
            ["why"],
            registry=reg,
        )
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """Have a series of what has not happened yet, so that a rate over it is right from the first time."""
        for kind in EventKind:
            self.events.labels(kind.value)
        for code in Refusal:
            self.dead_letters.labels(code.value)
        for topic in ALL:
            self.oversized.labels(topic.name)
        for reason in (FULL, *(d.value for d in Degraded)):
            self.lists.labels(reason)
        for outcome in Outcome:
            self.feedback.labels(outcome.value)
        for cause in CAUSES:
            self.restarts.labels(cause)
            self.unserved.labels("", cause)
        for topic in (EVENTS, COVISITS, ITEMS, PRIVACY):
            self.lost.labels(topic.name)
        for of in HITS:
            self.hits.labels(of)
        for why in REFUSALS:
            self.refused_requests.labels(why)

    def answered_by(self, version: str) -> None:
        """The model answered as this version."""
        if version != self._model:
            self._model = version
            self.model.clear()
            self.model.labels(version).set(1)
