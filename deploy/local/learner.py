"""The parts that learn, beside the others of a run: `ouzel log` and `ouzel learn`."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from deploy.local.stack import Stage
from deploy.local.steps import Step
from inference.item_tokens.adapter import MANIFEST, Cut, Manifest
from inference.triton.ports import free_ports
from inference.triton.repository import weights_of
from inference.versions.store import VersionStore
from streams.settings import throwaway, to_environment

FLUSH_SECONDS = 2.0
ALL_DAYS = 36_500
"""A replayed stream is older than the days that a learner reads by default."""


async def start_log(stage: Stage) -> Path:
    """Start `ouzel log`; the folder of the training log."""
    log = stage.folder / "training-log"
    (port,) = free_ports(1)
    settings = throwaway(
        stage.broker.bootstrap,
        state_dir=stage.folder / "log-state",
        training_log=str(log),
        training_log_flush_s=FLUSH_SECONDS,
        training_log_port=port,
    )
    await stage.start("The training log", ("-m", "deploy.cli", "log"), "training-log.log", to_environment(settings))
    return log


def learn_command(stage: Stage, log: Path, store: VersionStore, options: Sequence[str]) -> list[str]:
    """`ouzel learn` on this stage, after the interpreter. Triton must be served with `stage.control_key`."""
    assert stage.control_key is not None
    return [
        *("-m", "deploy.cli", "learn", "--brokers", stage.broker.bootstrap, "--triton", stage.triton),
        *("--log", str(log), "--versions", str(store.root), "--repository", str(stage.repository)),
        *("--control-key", str(stage.control_key), "--days", str(ALL_DAYS), *options),
    ]


async def start_learner(stage: Stage, step: Step, store: VersionStore, options: Sequence[str]) -> None:
    """Start `ouzel log`, and `ouzel learn` with these options and this store."""
    step.say("starting the training log and the learner")
    log = await start_log(stage)
    await stage.start("The learner", learn_command(stage, log, store, options), "learner.log")
    step.say("the training log and the learner are started")


def with_moved_cut(adapter: Path, target: Path, by_ms: int) -> Path:
    """A copy of an adapter's folder for a stream whose times are moved by `by_ms`: so that a learner does not learn
    again what the adapter has learned. What the adapter computes, and its version, stay the same."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(adapter, target)
    path = target / MANIFEST
    manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    if manifest.cut is not None:
        cut = Cut(ts=manifest.cut.ts + by_ms, share=manifest.cut.share)
        learned = tuple(msgspec.structs.replace(one, until=one.until + by_ms) for one in manifest.learned)
        path.write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, cut=cut, learned=learned)))
    return target


def fresh_repository(models: Path, name: str) -> Path:
    """Clear the model repository `name` of a run that learns, except for the weights, which are links to those of the
    usual one; returns it. The usual one never holds versions that a run has learned."""
    target = models / name
    shutil.rmtree(target, ignore_errors=True)
    weights = weights_of(models / "repository")
    if weights.is_dir():
        shutil.copytree(weights, weights_of(target), copy_function=_link)
    return target


def _link(source: str, target: str) -> None:
    """Link a file, or copy it where the file system cannot."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
