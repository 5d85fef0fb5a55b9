"""A model repository with the scripted model in it: a server of it is ready within seconds."""

from pathlib import Path

from inference.settings import ModelSettings
from inference.triton.repository import config_pbtxt
from inference.triton.server import MODEL
from tests.faults import scripts
from tests.faults.scorer import MODEL_PY


def scripted(folder: Path) -> Path:
    """Make the repository in `folder`, with version 1."""
    model = folder / MODEL
    model.mkdir(parents=True)
    (model / "config.pbtxt").write_text(config_pbtxt(ModelSettings()))
    (model / scripts.FILE).write_text(scripts.ANSWER)
    add_version(folder, 1)
    return folder


def add_version(repository: Path, number: int) -> None:
    """The version to be loaded next; its answers name it."""
    version = repository / MODEL / str(number)
    version.mkdir()
    (version / "model.py").write_text(MODEL_PY)
