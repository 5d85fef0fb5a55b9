"""The settings of a worker: read once at start, from environment variables, into one frozen object.

To add a setting, add a field. Its variable is `OUZEL_` and the field's name in capitals; its type, default, bounds and
text come from the same line, and so does its row in docs/settings.md (`settings_table`).
"""

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from schemas.scoring import MAX_DESCRIBED
from schemas.seen import ALL, NEVER, SeenRules, seen_rules
from streams.errors import BadSetting
from streams.privacy.pseudonyms import MAX_KEY_BYTES, MIN_KEY_LENGTH
from streams.secret import NO_SECRET, Secret
from streams.web.loopback import is_loopback

PREFIX = "OUZEL_"


ALL_DUTIES = "all"
STATE_DIR = Path(".ouzel/state")
MIN_TOKEN_LENGTH = 16
INSTANCE = re.compile(r"[A-Za-z0-9._-]{0,249}")
"""What Kafka takes for a group.instance.id; empty is none."""


def setting(
    default: Any, doc: str, *, low: float | None = None, high: float | None = None, one_of: tuple[str, ...] = ()
) -> Any:
    """A field of `Settings`: its default, what it means, and its bounds (inclusive), if any."""
    return field(default=default, metadata={"doc": doc, "low": low, "high": high, "one_of": one_of})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything a worker can be told. Validated on construction: a value out of bounds raises `BadSetting`."""

    # The brokers
    brokers: str = setting("127.0.0.1:9092", "Kafka brokers, host:port, separated by commas.")
    app_id: str = setting("ouzel", "The consumer group. Workers with the same one share the partitions.")
    security: str = setting(
        "plaintext", "How to talk to the brokers.", one_of=("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
    )
    sasl_mechanism: str = setting(
        "SCRAM-SHA-256", "How to log in to the brokers.", one_of=("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
    )
    sasl_username: str = setting("", "The name to log in with.")
    sasl_password: Secret = setting(NO_SECRET, "The password to log in with.")  # noqa: RUF009 - a field
    ssl_ca: str = setting("", "A file with the certificate authorities to trust (empty: the system's).")
    ssl_cert: str = setting("", "A file with the certificate to show to the brokers, and its chain (empty: none).")
    ssl_key: str = setting("", "A file with its key, which has no password.")
    session_timeout_s: float = setting(10.0, "A worker silent for so long has lost its partitions.", low=1, high=300)
    rebalance_timeout_s: float = setting(
        30.0, "How long a worker may take to hand its partitions over.", low=1, high=600
    )
    group_instance: str = setting(
        "",
        "A name that this worker alone has, and keeps: a restart within the session timeout gives it its partitions "
        "back and stops no other worker. For brokers with static membership: Kafka has it, the embedded one has not. "
        "Empty: none.",
    )
    heartbeat_s: float = setting(2.0, "Between two signs of life to the group.", low=0.1, high=60)

    # What it does
    duties: str = setting(
        ALL_DUTIES,
        "`contexts`: fold events into contexts and join reactions with lists, but count no co-visits and make no "
        "lists: not later either, of what is folded so. The same for all workers of a group.",
        one_of=(ALL_DUTIES, "contexts"),
    )

    recreated_events: str = setting(
        "stop",
        "What to do where ouzel.events was deleted and created again beside the old contexts. `stop`: do not serve it, "
        "and say so. `continue`: keep the contexts and read the new topic from its beginning.",
        one_of=("stop", "continue"),
    )

    # State and batches
    state_dir: Path = setting(STATE_DIR, "Where the state is kept. A cache: safe to delete.")  # noqa: RUF009 - a field
    state_max_age_s: int = setting(
        72_000,
        "State on disk that was last written longer ago is rebuilt from the changelog. Below the broker's "
        "delete.retention.ms, so that no clearing of a person is missed.",
        low=0,
    )
    block_cache_mb: int = setting(16, "Block cache of one partition's store.", low=1, high=65_536)
    cached_people: int = setting(
        20_000,
        "Contexts kept decoded, by partition; about 20 KiB each, with thousands of seen items 200 KiB at most.",
        low=1,
    )
    batch_max_events: int = setting(2_000, "Events of a partition folded at once, at most.", low=1, high=100_000)
    fetch_wait_ms: int = setting(
        500, "How long a broker may hold back a fetch that finds nothing. Short where it does not wake up early.", low=1
    )
    fetch_max_mb: int = setting(4, "Bytes fetched ahead, by partition.", low=1, high=1_024)
    turn_ms: float = setting(
        50.0,
        "How long folding, counting and writing may hold the event loop before timers and pages have their turn. "
        "Making lists has turns of its own, of the same length.",
        low=1,
        high=1_000,
    )
    commit_interval_s: float = setting(1.0, "Between two commits of the offsets that are written.", low=0.05, high=60)
    write_interval_s: float = setting(
        1.0, "How long changes are gathered before they are written: of each person, the last is.", low=0, high=60
    )
    counting_interval_s: float = setting(0.5, "How long co-visits are gathered before counting.", low=0.01, high=60)
    unknown_items: int = setting(
        100_000,
        "Item ids that only events name: so many are counted as the catalogue's items are, until an item of that id is "
        "published. Of more, that which was counted least is evicted. Each takes 0.5 KiB, 4 where people have long "
        "histories.",
        low=1_000,
        high=10_000_000,
    )
    warm_up_s: float = setting(
        60.0, "How long a partition waits for the catalogue to be read, at most.", low=0, high=3600
    )
    context_expiry_days: float = setting(180.0, "A person not heard of for so long is forgotten.", low=0.0001)
    sweep_interval_s: float = setting(1.0, "Between two steps of the search for what has expired.", low=0.01, high=3600)
    sweep_step: int = setting(500, "Records looked at in one such step, by partition.", low=1)

    pseudonym_key: Secret = setting(  # noqa: RUF009 - a field
        NO_SECRET,
        "A key of at least 16 characters: people are kept, and feedback is published, under pseudonyms made with it. "
        "All workers of a group have the same one, from the first event on.",
    )

    # Lists
    list_length: int = setting(10, "Entries of a list.", low=1, high=100)
    list_deadline_ms: int = setting(
        1_000,
        "From an event to its list, at most; from its arrival, where it comes later than that.",
        low=10,
        high=60_000,
    )
    patience_ms: int = setting(
        600, "Whoever has waited so long for the model gets a list without it.", low=1, high=60_000
    )
    scoring_slots: int = setting(4, "Lists made at the same time: requests in flight to the model.", low=1, high=1_024)
    max_waiting: int = setting(2_000, "People who wait for a list, at most; then the oldest trigger is dropped.", low=1)
    trigger_max_age_ms: int = setting(60_000, "An older event is folded but makes no list (replays, backfills).", low=0)
    oldest_event: str = setting(
        "1980-01-01",
        "An event from before this day (UTC) is refused as `invalid`: mostly, its time is in seconds. Earliest: "
        "1970-01-01.",
    )
    attribution_window_ms: int = setting(1_800_000, "A reaction counts for a list for so long.", low=1)
    rescored: int = setting(
        8,
        "Candidates of a list that the model scores one by one: the best without it. 0 does where a model has vectors.",
        low=0,
        high=100,
    )
    seen_again: str = setting(
        NEVER,
        "When an item that a user has seen may be on their lists again: `never`, `always`, or after a number of days. "
        "For every scene, then with commas for some: `never, music=always, news=7`.",
    )
    seen_kinds: str = setting(
        ALL,
        "Which kinds of events make an item seen: `all`, or names joined by plus signs. For every scene, then with "
        "commas for some: `all, shop=purchase+dislike`.",
    )
    sources: str = setting(
        "",
        "Candidate sources beside the built-in ones: `package.module:object`, with commas for several. The modules are "
        "imported. The same for all workers of a group.",
    )
    exploration: float = setting(0.02, "Probability that a list's last place goes to a drawn candidate.", low=0, high=1)

    # The model
    triton: str = setting("127.0.0.1:8001", "Triton's gRPC address, host:port. Empty: no Triton is asked.")
    triton_security: str = setting("plaintext", "How to talk to Triton.", one_of=("plaintext", "ssl"))
    triton_ca: str = setting("", "A file with the certificate authorities to trust for it (empty: the system's).")
    triton_cert: str = setting("", "A file with the certificate to show to it (empty: none).")
    triton_key: str = setting("", "A file with its key, which has no password.")
    model_repository: str = setting(
        "", "Without a Triton: the folder of `ouzel triton build`, to score in this process. Empty: no model."
    )

    describe_batch: int = setting(
        32, "Items that the model describes at once, at most: it makes no list meanwhile.", low=1, high=MAX_DESCRIBED
    )
    describe_timeout_s: float = setting(10.0, "How long the model may take to describe them.", low=0.1, high=600)

    # The web port
    web_host: str = setting("127.0.0.1", "Where /metrics, /healthz and /readyz listen.")
    web_port: int = setting(6066, "Their port.", low=1, high=65_535)
    web_token: Secret = setting(  # noqa: RUF009 - a field
        NO_SECRET,
        "The bearer token for /metrics, of 16 characters or more; empty: none is asked for, and the pages are there "
        "under this machine's loopback names alone. Needed where others than this machine can reach web_host.",
    )
    web_max_per_second: float = setting(
        50.0,
        "How often a second a page is made anew, at most: whoever asks in between gets it as it was. And how often a "
        "second an address is told why it is refused; beyond that, 429.",
        low=1,
        high=10_000,
    )
    web_max_connections: int = setting(
        64,
        "Connections, at most. One more ends an idle one: of the address that has most, the oldest.",
        low=1,
        high=1_000,
    )

    @property
    def oldest_event_ms(self) -> int:
        """The oldest time of an event that is accepted, milliseconds since 1970."""
        return int(datetime.fromisoformat(self.oldest_event).replace(tzinfo=UTC).timestamp() * 1000)

    def __post_init__(self) -> None:
        for each in fields(self):
            _check(each, getattr(self, each.name))
        for name in ("ssl", "triton"):
            if bool(getattr(self, f"{name}_cert")) != bool(getattr(self, f"{name}_key")):
                raise BadSetting(f"{PREFIX}{name.upper()}_CERT and {PREFIX}{name.upper()}_KEY go together: set both.")
        if not _is_day_since_1970(self.oldest_event):
            raise BadSetting(
                f"{PREFIX}OLDEST_EVENT={self.oldest_event} is no day from 1970-01-01 on: write 1980-01-01."
            )
        if self.web_token and not _is_token(self.web_token):
            raise BadSetting(f"{PREFIX}WEB_TOKEN takes {MIN_TOKEN_LENGTH} visible ASCII characters or more.")
        if not self.web_token and not is_loopback(self.web_host):
            raise BadSetting(
                f"{PREFIX}WEB_HOST={self.web_host} is open to others: set {PREFIX}WEB_TOKEN too, or take 127.0.0.1."
            )
        if self.pseudonym_key and not _is_key(self.pseudonym_key):
            raise BadSetting(
                f"{PREFIX}PSEUDONYM_KEY takes {MIN_KEY_LENGTH} characters or more, and {MAX_KEY_BYTES} bytes at most."
            )
        if not INSTANCE.fullmatch(self.group_instance):
            raise BadSetting(f"{PREFIX}GROUP_INSTANCE takes at most 249 letters, digits, dots, dashes and underscores.")
        self.seen_rules()
        if self.heartbeat_s >= self.session_timeout_s:
            raise BadSetting(f"{PREFIX}HEARTBEAT_S={self.heartbeat_s} must be below {PREFIX}SESSION_TIMEOUT_S.")
        if self.patience_ms > self.list_deadline_ms:
            raise BadSetting(f"{PREFIX}PATIENCE_MS={self.patience_ms} must be at most {PREFIX}LIST_DEADLINE_MS.")

    def seen_rules(self) -> SeenRules:
        """What counts as seen in each scene."""
        try:
            return seen_rules(self.seen_again, self.seen_kinds)
        except ValueError as error:
            raise BadSetting(f"{PREFIX}SEEN_AGAIN and {PREFIX}SEEN_KINDS: {error}.") from None


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings that the environment (default: the process's) gives. Raises `BadSetting`.

    A variable that starts with `OUZEL_` but is no setting of the worker is let be: the other programs have theirs.
    """
    environment = os.environ if environment is None else environment
    given = {}
    for each in fields(Settings):
        text = environment.get(variable(each.name))
        if text is not None:
            given[each.name] = _parse(each, text)
    return Settings(**given)


def to_environment(settings: Settings) -> dict[str, str]:
    """The variables that `read_settings` turns into `settings`: for starting a worker as a child. Holds the secrets."""
    values = {each.name: getattr(settings, each.name) for each in fields(settings)}
    return {variable(name): v.reveal() if isinstance(v, Secret) else str(v) for name, v in values.items()}


def _is_day_since_1970(text: str) -> bool:
    try:
        return text.count("-") == 2 and date.fromisoformat(text) >= date(1970, 1, 1)
    except ValueError:
        return False


def _is_token(token: Secret) -> bool:
    """Whether it can be sent in a header. In a frame of its own: tracebacks of the settings do not hold the text."""
    text = token.reveal()
    return len(text) >= MIN_TOKEN_LENGTH and text.isascii() and text.isprintable() and " " not in text


def _is_key(key: Secret) -> bool:
    text = key.reveal()
    try:
        return len(text) >= MIN_KEY_LENGTH and len(text.encode()) <= MAX_KEY_BYTES
    except UnicodeEncodeError:
        return False  # a variable of bytes that are no text


def variable(name: str) -> str:
    return PREFIX + name.upper()


def settings_table() -> str:
    """docs/settings.md: every setting with its variable, default, bounds and meaning."""
    rows = ["| variable | default | takes | meaning |", "|---|---|---|---|"]
    for each in fields(Settings):
        default = f"`{each.default}`" if str(each.default) else ""
        rows.append(f"| `{variable(each.name)}` | {default} | {_takes(each)} | {each.metadata['doc']} |")
    return (
        "# Settings of a worker\n\n"
        "Read once at start, from environment variables. A value that cannot be used stops the worker with a message\n"
        "that says why. This page is made from `streams/settings.py`; a test keeps the two in step.\n\n"
        + "\n".join(rows)
        + "\n"
    )


def _takes(each: Field[Any]) -> str:
    low, high, one_of = (each.metadata[name] for name in ("low", "high", "one_of"))
    if one_of:
        return ", ".join(one_of)
    kind = {str: "text", Path: "a folder", Secret: "a secret", int: "a whole number", float: "a number"}[_type(each)]
    if low is not None and high is not None:
        return f"{kind}, {low:,} to {high:,}"
    return f"{kind}, {low:,} or more" if low is not None else kind


def _type(each: Field[Any]) -> type:
    if each.default is MISSING:
        raise TypeError(f"the setting {each.name} has no default")
    return Path if isinstance(each.default, Path) else type(each.default)


def _parse(each: Field[Any], text: str) -> Any:
    kind = _type(each)
    try:
        return kind(text.strip() if kind in (int, float) else text)
    except ValueError:
        raise BadSetting(f"{variable(each.name)} takes {_takes(each)}. Correct it or leave it out.") from None


def _check(each: Field[Any], value: Any) -> None:
    low, high, one_of = (each.metadata[name] for name in ("low", "high", "one_of"))
    low_ok = low is None or value >= low  # also False for NaN
    high_ok = high is None or value <= high
    if not (low_ok and high_ok and (not one_of or value in one_of)):
        raise BadSetting(f"{variable(each.name)}={value} is out of bounds: it takes {_takes(each)}.")


def throwaway(brokers: str, **overrides: Any) -> Settings:
    """Settings for a short life on a broker of one's own: fast to join, state in a folder of its own."""
    return Settings(
        **{
            "brokers": brokers,
            "session_timeout_s": 6.0,
            "rebalance_timeout_s": 6.0,
            "heartbeat_s": 1.0,
            # The embedded broker looks for new records only now and then while it holds a fetch back.
            "fetch_wait_ms": 50,
            "state_dir": Path(tempfile.mkdtemp(prefix="ouzel-")),
            **overrides,
        }
    )
