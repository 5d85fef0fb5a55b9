"""Place versions in Triton's model repository and remove them, each at once or not at all.

A version is built outside the repository, synced and renamed to `scorer/NUMBER`, so that Triton never loads a part of
one, whatever is killed. It shares the weights and costs as much as its adapter and its items' vectors: a few MB.
"""

import fcntl
import filecmp
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import structs

from inference.errors import SettingsError, WeightsError
from inference.settings import ADAPTER, SETTINGS, WEIGHTS, DType, ModelSettings
from inference.triton.repository import (
    MODEL_PY,
    beside,
    read_config,
    served,
    settings_of,
    sync,
    weights_of,
    with_policy,
    write_config,
    write_model,
)
from inference.triton.server import MODEL
from inference.versions.store import FIRST

_LOCK = "lock"


def placed(repository: Path) -> list[int]:
    """The numbers of the versions in the repository, ascending, loaded or not."""
    folder = repository / MODEL
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(int(each.name) for each in found if each.name.isdecimal() and (each / MODEL_PY).is_file())


def place(repository: Path, number: int, adapter: Path, *, like: int = FIRST, dtype: DType | None = None) -> Path:
    """Place version `number`: the weights and settings of version `like` with the trained `adapter`, a folder. Returns
    the version's folder.

    `dtype` is the version's number format, which its name contains. By default it is that of `like`; if that is `auto`,
    formats are timed here, for about a second. A version that was already placed from the same files is left as it is.
    Raises `WeightsError` or `SettingsError`.
    """
    source, target = repository / MODEL / str(like), repository / MODEL / str(number)
    _check_adapter(adapter)
    settings = _pinned(settings_of(repository, like), weights_of(repository, like), dtype)
    if target.exists():
        if _is_from(target / ADAPTER, adapter):
            return target
        raise WeightsError(f"{target} is another version: use a number that was never used")
    if not served(repository):  # else a server that is restarted would load the new version
        write_config(repository, with_policy(read_config(repository), placed(repository)[-1:]))
    with _unfinished(repository) as aside:
        made = aside / str(number)
        made.mkdir()
        (made / WEIGHTS).symlink_to(_shared(source / WEIGHTS))
        shutil.copytree(adapter, made / ADAPTER, ignore=shutil.ignore_patterns(".*"))
        settings.write(made / SETTINGS)
        write_model(made)
        for each in [*made.rglob("*"), made]:
            if not each.is_symlink():
                sync(each)
        _rename(made, target)
    return target


def remove(repository: Path, number: int) -> None:
    """Delete a version's folder, if there is one, at once. The server must have unloaded it before
    (`inference.triton.model_control`).

    Raises `WeightsError` for version 1, which in-process scoring and `ouzel triton build` use, and for a version that
    the repository's configuration serves.
    """
    target = repository / MODEL / str(number)
    if number == FIRST:
        raise WeightsError(f"version {FIRST} stays: in-process scoring and `ouzel triton build` use its folder")
    if number in served(repository):
        raise WeightsError(f"version {number} is served: load the others without it first")
    if target.exists():
        with _unfinished(repository) as aside:
            _rename(target, aside / str(number))


def _check_adapter(adapter: Path) -> None:
    from inference.item_tokens.adapter import MANIFEST, TENSORS  # noqa: PLC0415  (imports torch)

    for name in (MANIFEST, TENSORS):
        if not (adapter / name).is_file():
            raise WeightsError(f"{adapter} is not a trained adapter, {name} is missing: train the version again")


def _is_from(placed_adapter: Path, adapter: Path) -> bool:
    names = sorted(path.name for path in adapter.iterdir() if path.is_file() and not path.name.startswith("."))
    return filecmp.cmpfiles(placed_adapter, adapter, names, shallow=False)[0] == names


def _pinned(settings: ModelSettings, weights: Path, dtype: DType | None) -> ModelSettings:
    chosen = dtype or settings.dtype
    if chosen is DType.AUTO:
        from inference.transformer.number_format import choose  # noqa: PLC0415  (imports torch)

        chosen = choose(structs.replace(settings, dtype=DType.AUTO), weights).settings.dtype
    return structs.replace(settings, dtype=chosen, adapter=ADAPTER)


def _shared(weights: Path) -> Path:
    """The target of a new link to the weights of a version. Raises `SettingsError` if no version shares them."""
    if not weights.is_symlink():
        raise SettingsError(
            f"{weights} belongs to one version: stop the server and run `ouzel triton build` once, which moves it to "
            "where versions share it"
        )
    return weights.readlink()


@contextmanager
def _unfinished(repository: Path) -> Iterator[Path]:
    """An empty folder for one process at a time, which is deleted, as are those of processes that died."""
    folder = beside(repository)
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in folder.glob("version-*"):
            shutil.rmtree(left, ignore_errors=True)
        aside = folder / f"version-{os.getpid()}"
        aside.mkdir()
        try:
            yield aside
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _rename(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        raise WeightsError(
            f"{source} cannot be renamed to {target} ({error.strerror}): the folders of the repository and beside it "
            "must be on one file system"
        ) from error
    sync(source.parent)
    sync(target.parent)
