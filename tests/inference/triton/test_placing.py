"""Versions in the repository: complete or absent, a few files each, and nothing that serves is touched."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from inference.engines import load_engine
from inference.errors import SettingsError, WeightsError
from inference.settings import DType, ModelSettings
from inference.transformer.weights import read_manifest
from inference.triton.placing import place, placed, remove
from inference.triton.repository import (
    beside,
    build,
    config_pbtxt,
    read_config,
    served,
    settings_of,
    weights_of,
    with_policy,
    write_config,
)
from inference.triton.server import MODEL
from tests.support.tiny_repository import tiny_adapter, tiny_repository, tiny_version


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tiny_repository(tmp_path)


def times(folder: Path) -> dict[str, tuple[int, int]]:
    """What Triton compares: modification and change times of all files, through links; change times of folders change
    when they are renamed, which happens before the first load."""
    weights = (folder / "weights").resolve()
    found = [folder, *folder.rglob("*"), *(weights.rglob("*") if weights.exists() else ())]
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in found}


def test_placed_version_shares_the_weights_and_has_its_adapter(repository: Path, tmp_path: Path) -> None:
    adapter = tiny_version(tmp_path, repository, 2)
    before = times(repository / MODEL / "1")
    folder = place(repository, 2, adapter)
    assert times(repository / MODEL / "1") == before
    assert placed(repository) == [1, 2]
    assert sorted(path.name for path in folder.iterdir()) == [
        *("__pycache__", "adapter", "model.py", "settings.json", "weights")
    ]
    assert (folder / "weights").readlink() == Path("../weights")
    assert sorted(path.name for path in (repository / MODEL).iterdir()) == ["1", "2", "config.pbtxt", "weights"]
    assert sorted(path.name for path in repository.iterdir()) == [MODEL], "a server loads every folder in it"
    chosen = settings_of(repository, 2)
    assert chosen == replace(settings_of(repository), adapter="adapter")
    one, two = (load_engine(weights_of(repository, number), settings_of(repository, number)) for number in (1, 2))
    assert one.version != two.version
    assert two.shipped == 150  # type: ignore[union-attr]


def test_version_outlives_the_folder_of_version_1(repository: Path, tmp_path: Path) -> None:
    place(repository, 2, tiny_adapter(tmp_path, 2))
    before = times(repository / MODEL / "2")
    shutil.rmtree(repository / MODEL / "1")
    assert times(repository / MODEL / "2") == before
    assert load_engine(weights_of(repository, 2), settings_of(repository, 2)).version


def test_number_format_is_pinned(repository: Path, tmp_path: Path) -> None:
    settings = replace(settings_of(repository), dtype=DType.AUTO)
    (repository / MODEL / "1" / "settings.json").write_bytes(settings.as_json())
    adapter = tiny_adapter(tmp_path, 2)
    place(repository, 2, adapter, dtype=DType.BF16)
    place(repository, 3, adapter)
    assert settings_of(repository, 2).dtype == "bf16"
    assert settings_of(repository, 3).dtype in {"bf16", "fp32"}


def test_bytecode_is_valid_wherever_it_is_copied(repository: Path, tmp_path: Path) -> None:
    """Else Python would write its own at the first load, and Triton start the version again at the next."""
    folder = place(repository, 2, tiny_adapter(tmp_path, 2))
    copy = Path(shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("weights")))
    os.utime(copy / "model.py")
    before = times(copy)
    code = "import sys; sys.path.insert(0, sys.argv[1]); from inference.triton import loading"
    code += "; loading.load_class = int; import model; print(model.__cached__)"
    ran = subprocess.run(
        [sys.executable, "-c", code, str(copy)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert Path(ran.stdout.strip()).parent == copy / "__pycache__"
    assert times(copy) == before
    assert importlib.util.cache_from_source("model.py").endswith(next((copy / "__pycache__").iterdir()).name)


def test_second_build_touches_nothing_and_keeps_what_is_served(repository: Path, tmp_path: Path) -> None:
    place(repository, 2, tiny_adapter(tmp_path, 2))
    write_config(repository, with_policy(read_config(repository), [2, 1]))
    before = times(repository / MODEL)
    settings = replace(settings_of(repository), adapter=str(tmp_path / "adapter-1"))
    build(repository, settings)
    assert times(repository / MODEL) == before
    assert served(repository) == (1, 2)


def test_weights_in_a_version_folder_are_moved_by_the_next_build(repository: Path, tmp_path: Path) -> None:
    weights = weights_of(repository)
    weights.unlink()
    (repository / MODEL / "weights").rename(weights)
    adapter = tiny_adapter(tmp_path, 2)
    with pytest.raises(SettingsError, match="ouzel triton build"):
        place(repository, 2, adapter)
    manifest = read_manifest(weights)
    build(repository, replace(settings_of(repository), adapter=str(tmp_path / "adapter-1")))
    assert weights.is_symlink()
    assert read_manifest(weights) == manifest
    place(repository, 2, adapter)


def test_build_with_other_weights_serves_its_own_version(repository: Path, tmp_path: Path) -> None:
    """Placed versions belong to the weights that they were trained on."""
    place(repository, 2, tiny_adapter(tmp_path, 2))
    write_config(repository, with_policy(read_config(repository), [2]))
    build(repository, replace(settings_of(repository), adapter=str(tmp_path / "adapter-1"), dtype=DType.BF16))
    assert served(repository) == (1,)


def test_place_refuses_what_is_no_adapter_and_a_number_in_use(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"adapter\.json is missing"):
        place(repository, 2, tmp_path)
    adapter, other = tiny_adapter(tmp_path, 2), tiny_adapter(tmp_path, 3)
    folder = place(repository, 2, adapter)
    before = times(folder)
    assert place(repository, 2, adapter) == folder
    with pytest.raises(WeightsError, match="never used"):
        place(repository, 2, other)
    assert times(folder) == before


def test_engine_of_a_version_without_its_adapter_says_so(repository: Path, tmp_path: Path) -> None:
    folder = place(repository, 2, tiny_adapter(tmp_path, 2))
    shutil.rmtree(folder / "adapter")
    with pytest.raises(WeightsError, match="place the version again"):
        load_engine(weights_of(repository, 2), settings_of(repository, 2))


def test_remove_deletes_only_what_is_not_served(repository: Path, tmp_path: Path) -> None:
    for number in (2, 3):
        place(repository, number, tiny_adapter(tmp_path, number))
    write_config(repository, with_policy(read_config(repository), [1, 2]))
    with pytest.raises(WeightsError, match="served"):
        remove(repository, 2)
    with pytest.raises(WeightsError, match="version 1 stays"):
        remove(repository, 1)
    remove(repository, 3)
    remove(repository, 3)
    assert placed(repository) == [1, 2]
    assert not list(beside(repository).glob("version-*"))


def test_placed_version_is_not_served_until_it_is_loaded(repository: Path, tmp_path: Path) -> None:
    """A server that is restarted in between must not take up a version that no gate has passed."""
    assert served(repository) == (1,)
    write_config(repository, with_policy(read_config(repository), ()))  # as an earlier release built it
    place(repository, 2, tiny_adapter(tmp_path, 2))
    assert served(repository) == (1,)


def test_policy_is_written_and_read_back() -> None:
    plain = config_pbtxt(ModelSettings())
    once = with_policy(plain, [3, 1])
    assert "version_policy { specific { versions: [ 1, 3 ] } }" in once
    assert with_policy(once, [3, 1]) == once
    assert with_policy(with_policy(once, [2]), ()) == plain
    with pytest.raises(SettingsError, match="another form"):
        with_policy(plain + "version_policy: { latest { num_versions: 2 } }\n", [1])


KILLED = """
import sys
from pathlib import Path
from inference.triton.placing import place, remove
repository, adapter = map(Path, sys.argv[1:])
number = 2
while True:
    place(repository, number, adapter)
    print(number, flush=True)
    number += 1
    if number % 3 == 0:
        remove(repository, number - 2) if number > 3 else None
"""


def test_killed_process_leaves_only_complete_versions(repository: Path, tmp_path: Path) -> None:
    """kill -9 at moments spread over placing and removing, each in a repository with what the earlier ones left."""
    adapter = tiny_version(tmp_path, repository, 2)
    expected = {str(path.relative_to(adapter)): path.read_bytes() for path in adapter.iterdir()}
    seen = 0
    for strike in range(12):
        for each in placed(repository)[1:]:
            shutil.rmtree(repository / MODEL / str(each))
        running = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(repository), str(adapter)],
            cwd=Path(__file__).parents[3],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert running.stdout is not None
        running.stdout.readline()
        time.sleep(0.02 * strike)  # not a wait for anything: the moment of the kill
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        running.stdout.close()
        assert sorted(path.name for path in repository.iterdir()) == [MODEL]
        for folder in (repository / MODEL).iterdir():
            if folder.name not in {"1", "weights", "config.pbtxt"}:
                seen += 1
                assert folder.name.isdecimal(), folder
                left = {path.name: path.read_bytes() for path in (folder / "adapter").iterdir()}
                assert left == expected, f"strike {strike}: version {folder.name} is not complete"
                assert read_manifest(folder / "weights")
                assert (folder / "__pycache__").is_dir()
                assert settings_of(repository, int(folder.name)).dtype == "fp32"
    assert seen >= 12
    place(repository, 1_000, adapter)
    assert not list(beside(repository).glob("version-*")), "the next one clears what others left"
