"""Every metric that a worker exports: names, labels and buckets.

Labels come from our own enumerations or from partition numbers, never from what a user or a producer sends: no user, no
item, no scene.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.errors import Refusal
from schemas.events import EventKind
from schemas.feedback import Outcome
from schemas.models import Role
from schemas.recommendations import Degraded
from schemas.topics import ALL, COVISITS, EVENTS, ITEMS, PRIVACY
from streams.health.conditions import CAUSES
from streams.ranking.gain import Verdict

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0)
AGES = (1, 10, 60, 300, 900, 3_600, 14_400, 43_200, 86_400, 172_800, 345_600, 604_800, 1_209_600, 2_592_000)
"""Seconds, to 30 days."""

BATCH = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000)

FULL = "none"
"""The label of a list that is not degraded."""

HITS = LIST, WITHOUT_MODEL, POPULARITY, ITEM_KNN = "list", "without_model", "popularity", "item_knn"
"""The rankings that are compared, in the order of `Compared`."""

OUTCOMES = HIT, MISS = "hit", "miss"
"""What a like says of a user's lists."""

EXPLAINED = MADE, REFUSED = "made", "refused"
"""What became of a question why an entry is on a list."""

LEARNED_BY = "own", "all"
"""The partitions that the blends learned from: this worker's, or all."""

USES = BLEND, COMPARISON, VERSIONS = "blend", "comparison", "versions"
"""What needs a list that is held in memory. `versions`: the comparison of two model versions."""

SHADOWED = ASKED, FAILED, DROPPED = "asked", "failed", "dropped"
"""What became of a list that another version was to score too: it did, it did not answer, it was not asked."""

PUBLISHED = SENT, LOST = "sent", "dropped"
"""What became of a comparison of two model versions."""

REFUSED = "refused"
"""The outcome of a one-off list that was not made, since too many were wanted."""

REFUSALS = ("host", "token", "body", "rate", "unreadable", "connections", "origin", "streams")
"""Why a request to the pages was refused. `connections`: a connection was closed to make room for another. `origin`:
another site asked for it. `streams`: as many live pages were open as are allowed."""


class Metrics:
    """The metrics of one worker, on `registry` (default: a new one)."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:  # noqa: PLR0915 - one statement a metric
        self.registry = registry or CollectorRegistry()
        reg = self.registry
        self.events = Counter("ouzel_events", "Events folded, by kind.", ["kind"], registry=reg)
        self.repeats = Counter(
            "ouzel_repeated_events", "Events dropped because they were already folded.", registry=reg
        )
        self.unseen = Counter(
            "ouzel_dropped_seen_marks",
            "Marks of seen items dropped because a user has too many; those items may be recommended again.",
            registry=reg,
        )
        self.dead_letters = Counter("ouzel_dead_letters", "Refused inputs, by reason code.", ["code"], registry=reg)
        self.oversized = Counter(
            "ouzel_oversized_records",
            "Records not published because they exceed their topic's maximum size, by topic.",
            ["topic"],
            registry=reg,
        )
        self.batch_events = Histogram("ouzel_batch_events", "Events per batch.", buckets=BATCH, registry=reg)
        self.batch_seconds = Histogram(
            "ouzel_batch_seconds", "Time from taking a batch to writing its state.", buckets=SECONDS, registry=reg
        )
        self.lag = Gauge("ouzel_lag_records", "Events not read yet, by partition.", ["partition"], registry=reg)
        self.uncounted = Gauge(
            "ouzel_uncounted_records",
            "Co-visit records not counted into the item graph yet, by partition.",
            ["partition"],
            registry=reg,
        )
        self.state_bytes = Gauge(
            "ouzel_state_bytes", "Size of the state on disk, by partition.", ["partition"], registry=reg
        )
        self.state_people = Gauge("ouzel_state_people", "Users with a cached context.", registry=reg)
        self.recovery_seconds = Histogram(
            "ouzel_recovery_seconds",
            "Time from the assignment or restart of a partition to its first batch.",
            buckets=SECONDS,
            registry=reg,
        )
        self.loop_lag = Histogram(
            "ouzel_loop_lag_seconds",
            "Delay of the event loop's timers, sampled ten times a second. A page waits as long.",
            buckets=SECONDS,
            registry=reg,
        )
        self.restarts = Counter(
            "ouzel_restarted_partitions",
            "Partitions restarted from durable state, by cause.",
            ["cause"],
            registry=reg,
        )
        self.ready = Gauge("ouzel_ready", "1 while the worker serves everything assigned to it.", registry=reg)
        self.unserved = Gauge(
            "ouzel_unserved",
            "Conditions that prevent serving, by topic (empty: all) and cause.",
            ["topic", "cause"],
            registry=reg,
        )
        self.failed_looks = Counter(
            "ouzel_failed_looks", "Surveys of the brokers, made every three seconds, that failed.", registry=reg
        )
        self.lost = Counter(
            "ouzel_lost_records", "Records deleted by retention before they were read.", ["topic"], registry=reg
        )
        self.expired = Counter("ouzel_expired_people", "Expired contexts that were deleted.", registry=reg)
        self.erased = Counter("ouzel_erased_people", "Users deleted by an erasure order.", registry=reg)
        self.counted = Counter(
            "ouzel_counted_events", "Events counted into the item graph by the items' owners.", registry=reg
        )
        self.evicted = Counter(
            "ouzel_evicted_items",
            "Item ids missing from the catalogue that were evicted from the item graph with their counts.",
            registry=reg,
        )
        self.unknown = Gauge(
            "ouzel_unknown_items", "Item ids in the item graph that are missing from the catalogue.", registry=reg
        )
        self.items = Gauge("ouzel_catalogue_items", "Items that can be recommended.", registry=reg)
        self.neighbours = Gauge("ouzel_neighbour_records", "Items with a record in the item graph.", registry=reg)

        self.lists = Counter(
            "ouzel_lists",
            "Lists published, by the reason why they are degraded (none: they are not).",
            ["degraded"],
            registry=reg,
        )
        self.unasked = Counter(
            "ouzel_unasked_lists",
            "Lists made without the model because it adds nothing in their scene; they are not degraded.",
            registry=reg,
        )
        self.verdicts = Gauge(
            "ouzel_model_verdicts",
            "Scenes by what the model adds to their lists: adds, undecided, or nothing (it is not asked).",
            ["verdict"],
            registry=reg,
        )
        self.event_to_list = Histogram(
            "ouzel_event_to_list_seconds",
            "Time from an event to the list that answers it.",
            buckets=SECONDS,
            registry=reg,
        )
        self.list_seconds = Histogram(
            "ouzel_list_seconds", "Time from taking a trigger to publishing its list.", buckets=SECONDS, registry=reg
        )
        self.scoring_seconds = Histogram(
            "ouzel_scoring_seconds", "Time that the model takes to answer.", buckets=SECONDS, registry=reg
        )
        self.model = Gauge(
            "ouzel_model",
            "1 for the model version that answered last. Its name includes the number format.",
            ["version"],
            registry=reg,
        )
        self._model = ""
        self.roles = Gauge(
            "ouzel_model_roles",
            "1 for each model version in use, with its role: the champion, and a challenger in shadow or as a canary.",
            ["version", "role"],
            registry=reg,
        )
        self.model_lists = Counter(
            "ouzel_model_lists", "Lists made with the model, by the role of their version.", ["role"], registry=reg
        )
        self.canary_fallbacks = Counter(
            "ouzel_canary_fallbacks",
            "Lists of a canary's users made by the champion because the canary did not answer in time.",
            registry=reg,
        )
        self.unnamed = Counter(
            "ouzel_unloaded_version_requests",
            "Requests answered by another version because the one that they name is not loaded.",
            registry=reg,
        )
        self.shadowed = Counter(
            "ouzel_shadow_lists",
            "Published lists that the other version was to score too: asked, failed (no answer), dropped (not asked).",
            ["outcome"],
            registry=reg,
        )
        self.comparisons = Counter(
            "ouzel_comparisons", "Comparisons of two model versions: sent, or dropped.", ["outcome"], registry=reg
        )
        self.ignored_model_records = Counter(
            "ouzel_ignored_model_records",
            "Records of ouzel.models that changed nothing: unreadable, or with a role of a later version.",
            registry=reg,
        )
        self.challenger_lacking = Gauge(
            "ouzel_challenger_undescribed_items",
            "Items without a vector of the challenger yet, or of a new champion.",
            registry=reg,
        )
        self.described = Counter("ouzel_described_items", "Items described by the model.", registry=reg)
        self.refused_describes = Counter(
            "ouzel_refused_describes",
            "Requests to describe items that the model refused because its queue was full; they are retried.",
            registry=reg,
        )
        self.undescribed = Gauge("ouzel_undescribed_items", "Items not described by the model yet.", registry=reg)
        self.reading_seconds_left = Gauge(
            "ouzel_reading_seconds_left",
            "Time until all items are described, at the recent rate; NaN: unknown.",
            registry=reg,
        )
        self.coalesced = Counter(
            "ouzel_coalesced_triggers", "Triggers replaced by a newer one of the same user.", registry=reg
        )
        self.stale = Counter("ouzel_stale_triggers", "Events too old for a list.", registry=reg)
        self.shed = Counter("ouzel_shed_triggers", "Triggers dropped because too many users waited.", registry=reg)
        self.waiting = Gauge("ouzel_waiting_people", "Users waiting for a list.", registry=reg)
        self.feedback = Counter("ouzel_feedback", "Reactions joined with lists, by outcome.", ["outcome"], registry=reg)
        self.likes = Counter(
            "ouzel_likes_of_lists",
            "Likes of users with an open list: hit where one of their open lists shows the item, else miss.",
            ["outcome"],
            registry=reg,
        )
        self.judged = Counter(
            "ouzel_judged_likes",
            "Likes that compare lists: of sampled users (OUZEL_COMPARED_USERS) all of whose open lists are held.",
            registry=reg,
        )
        self.hits = Counter(
            "ouzel_list_hits",
            "Judged likes found on an open list, all without exploration: the list, without the model, of the most "
            "popular items, of item-kNN.",
            ["of"],
            registry=reg,
        )
        self.new_item_seconds = Histogram(
            "ouzel_new_item_seconds",
            "Time from an item's publication to its first showing by this worker, of items published since its start.",
            buckets=AGES,
            registry=reg,
        )
        self.unremembered = Counter(
            "ouzel_unremembered_likes",
            "Likes that the blend or the comparison left out, since a list that they need is not held.",
            ["use"],
            registry=reg,
        )
        self.wishes = Counter(
            "ouzel_wishes",
            "Sentences of users (steer), by reading: understood; nothing (it asks for nothing that the catalogue has); "
            "failed (no model, or no answer: it changes no list).",
            ["reading"],
            registry=reg,
        )
        self.explanations = Counter(
            "ouzel_explanations",
            "Lists that visitors of the live page asked about, by outcome: made; refused (the user has done something "
            "since, or the model did not answer).",
            ["outcome"],
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
        self.blend_lists = Gauge(
            "ouzel_blend_lists",
            "Lists that the blends of the scenes in use learned from: own (of this worker's partitions), all.",
            ["of"],
            registry=reg,
        )
        self.refused_parts = Counter(
            "ouzel_refused_blend_parts",
            "Records of ouzel.blends that changed nothing: unreadable, or too many.",
            registry=reg,
        )
        self.refused_requests = Counter(
            "ouzel_refused_requests",
            "Refused requests to the worker's pages, by reason; connections: closed because there were too many.",
            ["why"],
            registry=reg,
        )
        self.one_off = Counter(
            "ouzel_one_off_lists",
            "Lists made for a passed-in context, which are not published, by the reason why they are degraded (none: "
            "they are not); refused: too many were wanted.",
            ["outcome"],
            registry=reg,
        )
        self.page_streams = Gauge("ouzel_page_streams", "Open live pages.", registry=reg)
        self.page_dropped = Counter(
            "ouzel_page_dropped_messages", "Messages that a slow live page did not get.", registry=reg
        )
        self.incognito = Gauge(
            "ouzel_page_incognito", "Incognito visitors of the live page who are held in memory.", registry=reg
        )
        self.page_events = Counter(
            "ouzel_page_events", "Events that visitors of the live page sent to Kafka.", registry=reg
        )
        self.api_requests = Counter(
            "ouzel_api_requests",
            "Requests to the HTTP API, by operation and status.",
            ["operation", "status"],
            registry=reg,
        )
        self.api_events = Counter("ouzel_api_events", "Events that the HTTP API sent to Kafka.", registry=reg)
        self.api_dropped = Counter(
            "ouzel_api_dropped_messages",
            "Lists that a slow client of a stream of the HTTP API did not get.",
            registry=reg,
        )
        self.api_streams = Gauge("ouzel_api_streams", "Open streams of lists of the HTTP API.", registry=reg)
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """Create every series at zero, so that a rate over it is right from the first event."""
        for kind in EventKind:
            self.events.labels(kind.value)
        for code in Refusal:
            self.dead_letters.labels(code.value)
        for topic in ALL:
            self.oversized.labels(topic.name)
        for reason in (FULL, *(d.value for d in Degraded)):
            self.lists.labels(reason)
            self.one_off.labels(reason)
        self.one_off.labels(REFUSED)
        for outcome in Outcome:
            self.feedback.labels(outcome.value)
        for verdict in Verdict:
            self.verdicts.labels(verdict)
        for cause in CAUSES:
            self.restarts.labels(cause)
            self.unserved.labels("", cause)
        for topic in (EVENTS, COVISITS, ITEMS, PRIVACY):
            self.lost.labels(topic.name)
        for counter, values in (
            (self.hits, HITS),
            (self.likes, OUTCOMES),
            (self.unremembered, USES),
            (self.shadowed, SHADOWED),
            (self.comparisons, PUBLISHED),
            (self.model_lists, (Role.CHAMPION, Role.CANARY)),
            (self.refused_requests, REFUSALS),
            (self.explanations, EXPLAINED),
        ):
            for value in values:
                counter.labels(value)

    def answered_by(self, version: str) -> None:
        """Note that the model answered as this version."""
        if version != self._model:
            self._model = version
            self.model.clear()
            self.model.labels(version).set(1)
