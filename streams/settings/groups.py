"""What a worker does with events, where it keeps state, and how it makes lists."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, field

from schemas.scoring import MAX_DESCRIBED
from schemas.seen import ALL, NEVER, SeenRules, seen_rules
from streams.errors import BadSetting
from streams.privacy.pseudonyms import MAX_KEY_BYTES, MIN_KEY_LENGTH
from streams.ranking.exploration import (
    MAX_NEW_PLACES,
    Exploration,
    Explorations,
    explorations,
    shares,
    temperatures,
)
from streams.secret import NO_SECRET, Secret
from streams.settings.group import REMEDY, Group, check_pair, variable

ALL_DUTIES: Final = "all"
STATE_DIR = Path(".ouzel/state")


class Folding(Group, frozen=True, kw_only=True):
    """What a worker does with events."""

    duties: Annotated[
        Literal["all", "contexts"],
        Meta(
            description="What the workers of a group do; the same for all of them. `contexts`: fold events into "
            "contexts and join reactions with lists, but count no co-visits and make no lists. Events folded this way "
            "are never counted later."
        ),
    ] = ALL_DUTIES
    recreated_events: Annotated[
        Literal["stop", "continue"],
        Meta(
            description="What to do if ouzel.events was deleted and recreated while its contexts still exist. `stop`: "
            "report it and do not serve the topic. `continue`: keep the contexts and read the new topic from its "
            "beginning."
        ),
    ] = "stop"
    oldest_event: Annotated[
        str,
        Meta(
            description="Events from before this day (UTC) are refused as `invalid`: their time is usually in seconds "
            "instead of milliseconds. Earliest: 1970-01-01."
        ),
    ] = "1980-01-01"
    attribution_window_ms: Annotated[
        int, Meta(ge=1, description="How long a reaction counts for a list, in milliseconds.")
    ] = 1_800_000
    batch_max_events: Annotated[
        int, Meta(ge=1, le=100_000, description="Maximum events of a partition in one batch.")
    ] = 2_000
    turn_ms: Annotated[
        float,
        Meta(
            ge=1,
            le=1_000,
            description="Maximum time in milliseconds that folding, counting and writing hold the event loop before "
            "timers and pages run. Making lists has separate turns of the same length.",
        ),
    ] = 50.0

    @property
    def oldest_event_ms(self) -> int:
        """The oldest accepted time of an event, in milliseconds since 1970."""
        return int(datetime.fromisoformat(self.oldest_event).replace(tzinfo=UTC).timestamp() * 1000)

    def check(self) -> None:
        if not _is_day_since_1970(self.oldest_event):
            raise BadSetting(
                f"{variable('oldest_event')}={self.oldest_event} is no day from 1970-01-01 on: write 1980-01-01."
            )


class State(Group, frozen=True, kw_only=True):
    """Contexts on disk and in memory."""

    dir: Annotated[Path, Meta(description="Folder of the state. It is a cache and safe to delete.")] = field(
        default=STATE_DIR, name="state_dir"
    )
    max_age_s: Annotated[
        int,
        Meta(
            ge=0,
            description="State on disk older than this many seconds is rebuilt from the changelog. Keep it below the "
            "delete.retention.ms of ouzel.contexts, so that no deletion of a user is missed.",
        ),
    ] = field(default=72_000, name="state_max_age_s")
    block_cache_mb: Annotated[
        int, Meta(ge=1, le=65_536, description="Block cache of one partition's store, in megabytes.")
    ] = 16
    cached_people: Annotated[
        int,
        Meta(
            ge=1,
            description="Contexts kept decoded per partition. Each takes about 20 KiB, and at most 200 KiB with "
            "thousands of seen items.",
        ),
    ] = 20_000
    write_interval_s: Annotated[
        float,
        Meta(
            ge=0,
            le=60,
            description="How long changes are gathered before they are written, in seconds. Only the last change of "
            "each user is written.",
        ),
    ] = 1.0
    context_expiry_days: Annotated[
        float, Meta(ge=0.0001, description="Contexts idle for this many days are deleted.")
    ] = 180.0
    sweep_interval_s: Annotated[
        float, Meta(ge=0.01, le=3600, description="Seconds between two steps of the search for expired records.")
    ] = 1.0
    sweep_step: Annotated[int, Meta(ge=1, description="Records checked in one step of that search, per partition.")] = (
        500
    )


class Privacy(Group, frozen=True, kw_only=True):
    """How users are named in what a worker stores and publishes."""

    pseudonym_key: Annotated[
        Secret,
        Meta(
            description="Key for pseudonyms, under which contexts are stored and feedback is published. At least 16 "
            "characters. All workers of a group need the same key, from the first event on."
        ),
    ] = NO_SECRET

    def check(self) -> None:
        if self.pseudonym_key and not _is_key(self.pseudonym_key):
            raise BadSetting(
                f"{variable('pseudonym_key')} takes at least {MIN_KEY_LENGTH} characters and at most "
                f"{MAX_KEY_BYTES} bytes."
            )


class Graph(Group, frozen=True, kw_only=True):
    """The catalogue and the item graph."""

    counting_interval_s: Annotated[
        float, Meta(ge=0.01, le=60, description="How long co-visits are gathered before they are counted, in seconds.")
    ] = 0.5
    unknown_items: Annotated[
        int,
        Meta(
            ge=1_000,
            le=10_000_000,
            description="Maximum item ids that events name but the catalogue does not. They are counted like the "
            "catalogue's items until an item with that id is published; beyond the maximum, the least counted id is "
            "evicted. Each takes 0.5 KiB, or 4 KiB if users have long histories.",
        ),
    ] = 100_000
    warm_up_s: Annotated[
        float, Meta(ge=0, le=3600, description="Maximum seconds that a partition waits for the catalogue to be read.")
    ] = 60.0


class Lists(Group, frozen=True, kw_only=True):
    """How recommendation lists are made."""

    length: Annotated[int, Meta(ge=1, le=100, description="Entries per list.")] = field(default=10, name="list_length")
    deadline_ms: Annotated[
        int,
        Meta(
            ge=10,
            le=60_000,
            description="Maximum time from an event to its list, in milliseconds. For an event that arrives later than "
            "that, the time counts from its arrival.",
        ),
    ] = field(default=1_000, name="list_deadline_ms")
    patience_ms: Annotated[
        int,
        Meta(
            ge=1,
            le=60_000,
            description="Maximum wait for the model, in milliseconds. After it, the list is made without the model.",
        ),
    ] = 600
    scoring_slots: Annotated[
        int, Meta(ge=1, le=1_024, description="Lists made at the same time, and requests in flight to the model.")
    ] = 4
    max_waiting: Annotated[
        int, Meta(ge=1, description="Maximum users waiting for a list. Beyond it, the oldest trigger is dropped.")
    ] = 2_000
    trigger_max_age_ms: Annotated[
        int,
        Meta(
            ge=0,
            description="Events older than this many milliseconds are folded but make no list (replays, backfills).",
        ),
    ] = 60_000
    rescored: Annotated[
        int,
        Meta(
            ge=0,
            le=100,
            description="Candidates per list that the model scores one by one: the best without it. Where a model has "
            "vectors, 0 is enough.",
        ),
    ] = 8
    seen_again: Annotated[
        str,
        Meta(
            description="When an item that a user has seen may be recommended again: `never`, `always`, or after a "
            "number of days. First for every scene, then, separated by commas, for single scenes: `never, "
            "music=always, news=7`."
        ),
    ] = NEVER
    seen_kinds: Annotated[
        str,
        Meta(
            description="Kinds of events that mark an item as seen: `all`, or names joined by plus signs. First for "
            "every scene, then, separated by commas, for single scenes: `all, shop=purchase+dislike`."
        ),
    ] = ALL
    sources: Annotated[
        str,
        Meta(
            description="Candidate sources beside the built-in ones: `package.module:object`, separated by commas. The "
            "modules are imported. All workers of a group must have the same."
        ),
    ] = ""
    compared_users: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000,
            description="The lists of one user in this many, drawn every day, are compared with the list without the "
            "model, with the most popular items and with item-kNN (`ouzel_list_hits_total`).",
        ),
    ] = 4
    model_margin: Annotated[
        float,
        Meta(
            ge=-1,
            le=0.5,
            description="What the model has to add to a scene's lists: share of likes found on them, and NDCG. Once it "
            "is shown to add less to both, it is asked for the compared users only. -1: it is always asked.",
        ),
    ] = 0.005
    shadow_share: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Share of the users, drawn every day, whose lists are scored by the champion and the "
            "challenger while there is a challenger. The second one is asked after the list is published.",
        ),
    ] = 1.0
    exploration: Annotated[
        str,
        Meta(
            description="Share of the lists that explore, 0 to 1: each of their places is drawn at random, the better "
            "the likelier. First for every scene, then, separated by commas, for single scenes: `0.05, home=0.1, "
            "checkout=0`."
        ),
    ] = f"{Exploration.share:g}"
    exploration_temperature: Annotated[
        str,
        Meta(
            description="How far such lists go, 0.01 to 10, in units of score: a candidate whose score is lower by "
            "this much is drawn e times less often. For every scene, then for single scenes."
        ),
    ] = f"{Exploration.temperature:g}"
    new_item_share: Annotated[
        str,
        Meta(
            description="Share of the lists whose last places go to new items, 0 to 1: 0.02 is one list in 50. For "
            "every scene, then for single scenes."
        ),
    ] = f"{Exploration.new_share:g}"
    new_item_places: Annotated[
        int,
        Meta(
            ge=1,
            le=MAX_NEW_PLACES,
            description="How many places of such a list go to new items, at most the whole list.",
        ),
    ] = Exploration.new_places
    wish_days: Annotated[
        float,
        Meta(
            ge=0.001,
            le=365,
            description="Days that a sentence of a user (steer) holds, unless it says how long.",
        ),
    ] = 7.0
    language: Annotated[
        str,
        Meta(max_length=20, description="Language of the reasons on lists: en or zh."),
    ] = "en"
    new_item_days: Annotated[
        float, Meta(ge=0.001, le=3_650, description="Days from an item's publication during which it is new.")
    ] = 14.0
    new_item_events: Annotated[
        int, Meta(ge=1, le=1_000_000, description="With this many events of all users, an item is no longer new.")
    ] = 20

    def check(self) -> None:
        if self.patience_ms > self.deadline_ms:
            raise BadSetting(
                f"{variable('patience_ms')}={self.patience_ms} must be at most "
                f"{variable('list_deadline_ms')}={self.deadline_ms}."
            )
        self.seen_rules()
        self.explorations()

    def seen_rules(self) -> SeenRules:
        """What counts as seen in each scene."""
        try:
            return seen_rules(self.seen_again, self.seen_kinds)
        except ValueError as error:
            raise BadSetting(f"{variable('seen_again')} and {variable('seen_kinds')}: {error}.") from None

    def explorations(self) -> Explorations:
        """How the lists of each scene explore."""
        return explorations(
            self._by_scene("exploration", shares, Exploration.share),
            self._by_scene("exploration_temperature", temperatures, Exploration.temperature),
            self._by_scene("new_item_share", shares, Exploration.new_share),
            self.new_item_places,
        )

    def _by_scene(self, name: str, parse: Callable[[str, float], dict[str, float]], default: float) -> dict[str, float]:
        try:
            return parse(getattr(self, name), default)
        except ValueError as error:
            raise BadSetting(f"{variable(name)}: {error}. {REMEDY}") from None


class Model(Group, frozen=True, kw_only=True):
    """Where the model runs."""

    triton: Annotated[str, Meta(description="Triton's gRPC address, host:port. Empty: do not use Triton.")] = (
        "127.0.0.1:8001"
    )
    triton_security: Annotated[Literal["plaintext", "ssl"], Meta(description="Security protocol of Triton.")] = (
        "plaintext"
    )
    triton_ca: Annotated[
        str,
        Meta(description="PEM file of the certificate authorities to trust for Triton. Empty: those of the system."),
    ] = ""
    triton_cert: Annotated[
        str, Meta(description="PEM file of the client certificate for Triton. Empty: no client certificate.")
    ] = ""
    triton_key: Annotated[str, Meta(description="PEM file of that certificate's key, without a password.")] = ""
    model_repository: Annotated[
        str,
        Meta(
            description="Without Triton: folder made by `ouzel triton build`, to score in this process. Empty: no "
            "model."
        ),
    ] = ""
    describe_batch: Annotated[
        int,
        Meta(
            ge=1,
            le=MAX_DESCRIBED,
            description="Maximum items that the model describes in one request. It makes no list meanwhile.",
        ),
    ] = 32
    describe_timeout_s: Annotated[float, Meta(ge=0.1, le=600, description="Maximum seconds for such a request.")] = 10.0

    def check(self) -> None:
        check_pair("triton", self.triton_cert, self.triton_key)


def _is_day_since_1970(text: str) -> bool:
    try:
        return text.count("-") == 2 and date.fromisoformat(text) >= date(1970, 1, 1)
    except ValueError:
        return False


def _is_key(key: Secret) -> bool:
    """A separate frame: tracebacks of the settings do not hold the text."""
    text = key.reveal()
    try:
        return len(text) >= MIN_KEY_LENGTH and len(text.encode()) <= MAX_KEY_BYTES
    except UnicodeEncodeError:
        return False  # the variable holds bytes that are not UTF-8
