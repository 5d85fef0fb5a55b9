"""The settings of a worker, of `ouzel log` and of `ouzel mapping`.

Read once at start, from environment variables, into one frozen object in groups.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec
from msgspec import Struct

from streams.secret import Secret
from streams.settings.group import PREFIX, Group, Setting, settings_of, variable
from streams.settings.groups import ALL_DUTIES, Folding, Graph, Lists, Model, Privacy, State
from streams.settings.kafka import Kafka
from streams.settings.mapping import MappingRun
from streams.settings.training_log import TrainingLog
from streams.settings.web import Web

__all__ = [
    "ALL_DUTIES",
    "PREFIX",
    "Folding",
    "Graph",
    "Kafka",
    "Lists",
    "MappingRun",
    "Model",
    "Privacy",
    "Settings",
    "State",
    "TrainingLog",
    "Web",
    "all_settings",
    "read_settings",
    "settings_table",
    "throwaway",
    "to_environment",
    "values_of",
    "variable",
]


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that can be set about a worker. Each group checks itself when it is made."""

    kafka: Kafka = Kafka()
    folding: Folding = Folding()
    state: State = State()
    privacy: Privacy = Privacy()
    graph: Graph = Graph()
    lists: Lists = Lists()
    model: Model = Model()
    web: Web = Web()
    training_log: TrainingLog = TrainingLog()
    mapping: MappingRun = MappingRun()

    @classmethod
    def make(cls, **values: Any) -> Self:
        """Settings from values under the names of their variables, without the prefix and in lower case.

        Raises `BadSetting` on a value out of bounds and `TypeError` on a name that is no setting.
        """
        groups: dict[str, Any] = {}
        for name, group in _groups():
            known = {each.name: each.field for each in settings_of(group)}
            groups[name] = group(**{field: values.pop(name) for name, field in known.items() if name in values})
        if values:
            raise TypeError(f"no settings of a worker: {', '.join(sorted(values))}")
        return cls(**groups)


def all_settings() -> Iterator[Setting]:
    """Every setting, group by group."""
    for _, group in _groups():
        yield from settings_of(group)


def values_of(settings: Settings) -> dict[str, Any]:
    """The value of every setting under its name, as `Settings.make` takes them."""
    return {
        each.name: getattr(getattr(settings, name), each.field)
        for name, group in _groups()
        for each in settings_of(group)
    }


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings in the environment (default: the process's). Raises `BadSetting`.

    Other variables that start with `OUZEL_` are ignored: they belong to other programs.
    """
    environment = os.environ if environment is None else environment
    given = {}
    for each in all_settings():
        text = environment.get(each.variable)
        if text is not None:
            given[each.name] = each.parse(text)
    return Settings.make(**given)


def to_environment(settings: Settings) -> dict[str, str]:
    """The variables that `read_settings` turns into `settings`, for starting a worker as a child. Holds the secrets."""
    return {
        variable(name): value.reveal() if isinstance(value, Secret) else str(value)
        for name, value in values_of(settings).items()
    }


def settings_table() -> str:
    """docs/reference/settings.md: every setting with variable, default, bounds and meaning, in a table per group."""
    parts = [
        "# Settings of a worker\n\n"
        "Read once at start, from environment variables. A value that cannot be used stops the worker with a message\n"
        "that says why. This page is made from `streams/settings/`; a test keeps the two in step.\n"
    ]
    for name, group in _groups():
        rows = [f"## {name.replace('_', ' ').capitalize()}\n", f"{group.__doc__}\n"]
        rows += ["| variable | default | takes | meaning |", "|---|---|---|---|"]
        for each in settings_of(group):
            default = f"`{each.default}`" if str(each.default) else ""
            rows.append(f"| `{each.variable}` | {default} | {each.takes} | {each.doc} |")
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def throwaway(brokers: str, **overrides: Any) -> Settings:
    """Settings for a short-lived worker on a private broker: it joins fast and keeps its state in a new folder."""
    return Settings.make(
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


def _groups() -> Iterator[tuple[str, type[Group]]]:
    return ((each.name, each.type) for each in msgspec.structs.fields(Settings))
