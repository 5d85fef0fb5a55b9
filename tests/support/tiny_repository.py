"""A model repository with the tiny model for item tokens, and trained-looking adapters for further versions of it."""

from pathlib import Path

from msgspec.structs import replace
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerFast

from inference.item_tokens.adapter import save
from inference.item_tokens.engine import ItemTokenEngine
from inference.item_tokens.vectors import write_vectors
from inference.settings import ModelSettings
from inference.triton.repository import build, settings_of, weights_of
from schemas.scoring import Candidate
from tests.support import tiny_model as tiny

ITEMS = [Candidate(f"Film number {number}", item=str(number), about="Drama") for number in range(150)]


def hugging_face(folder: Path) -> Path:
    """Write the tiny model and a byte tokenizer in the Hugging Face layout."""
    alphabet = {character: index for index, character in enumerate(sorted(ByteLevel.alphabet()))}
    tokenizer = Tokenizer(BPE(alphabet, []))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    tiny.model().save_pretrained(folder)
    return folder


def tiny_repository(folder: Path, **settings: object) -> Path:
    """Build a repository in `folder` whose version 1 has the random adapter 1, in fp32 on one thread."""
    source = hugging_face(folder / "Tiny")
    chosen = {"source": str(source), "adapter": str(tiny_adapter(folder, 1)), "dtype": "fp32", "threads": 1, **settings}
    return build(folder / "models" / "repository", ModelSettings.make(**chosen))


def tiny_adapter(folder: Path, seed: int) -> Path:
    """The folder of a random adapter, without vectors. Its items are those of `ITEMS` with an even number."""
    made = tiny.adapter(seed, items=tuple(item.item for item in ITEMS[::2]))
    return save(folder / f"adapter-{seed}", made, "never trained")


def tiny_version(folder: Path, repository: Path, seed: int) -> Path:
    """The folder of a random adapter with the vectors of `ITEMS`."""
    adapter = tiny_adapter(folder, seed)
    write_vectors(adapter, engine_of(repository, adapter), ITEMS)
    return adapter


def engine_of(repository: Path, adapter: Path, **settings: object) -> ItemTokenEngine:
    """An engine as version 1 of the repository would run with this adapter, without a store of readings."""
    return ItemTokenEngine.load(weights_of(repository), adapter, replace(settings_of(repository), **settings))
