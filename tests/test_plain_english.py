"""Docstrings, comments and messages avoid phrases that are hard to read, and test names start with their subject.

The style is that of httpx or msgspec: the terms of the field, active verbs, short sentences.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FOLDERS = (
    "schemas",
    "inference",
    "streams",
    "deploy",
    "tests/schemas",
    "tests/inference",
    "tests/integration",
    "tests/support",
    "tests/streams",
    "tests/deploy",
    "tests/faults",
    "tests/fuzz",
    "tests/benchmarks",
)
"""The folders that are checked."""

NOT_YET = ("tests/benchmarks/lists.py",)
"""Parts of these folders that still have to be reworded."""

INSTEAD = {
    "of its own": "separate",
    "of their own": "separate",
    "anew": "again, or recreate",
    "for so long": "this long",
    "so many": "this many",
    "somebody": "a user, or an operator",
    "nobody": "no user",
    "whoever": "the caller, or the user",
    "what is kept": "the cache, or the stored state",
    "held to be": "treated as",
}
"""Phrases to avoid, and what to say."""

PHRASE = re.compile(rf"\b(?:{'|'.join(INSTEAD)})\b", re.IGNORECASE)
ALLOWED = ('"nobody"',)
"""Values that contain such a phrase."""

NO_SUBJECT = re.compile(r"def (test_(?:an?|the|it|its|what|whatever|who|whoever|nobody|nothing|there|only)_\w+)")


def checked(pattern: str) -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob(pattern))]


@pytest.mark.parametrize("folder", FOLDERS)
def test_folder_exists(folder: str) -> None:
    assert (ROOT / folder).is_dir(), f"{folder} was moved: change FOLDERS"


def test_texts_avoid_phrases_that_are_hard_to_read() -> None:
    wrong = [
        f'{path.relative_to(ROOT)}:{number}: "{found[0]}": say {INSTEAD[found[0].lower()]}'
        for path in (*checked("*.py"), *checked("*.yml"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (found := PHRASE.search(line)) and not any(part in line for part in ALLOWED)
    ]
    assert not wrong, "\n".join(wrong)


def test_names_of_tests_start_with_their_subject() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in checked("test_*.py")
        for name in NO_SUBJECT.findall(path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)
