"""docs/reference/contract.md agrees with the types."""

import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from schemas.codec import decode_event, decode_item
from schemas.errors import Refusal
from schemas.events import EventKind
from schemas.limits import MAX_CLOCK_SKEW_MS, MAX_DETAIL_LENGTH, MAX_MESSAGE_BYTES
from schemas.reference import filled, tables

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "contract.md").read_text()


def test_page_has_the_generated_tables():
    assert filled(PAGE) == PAGE, "run `make docs` and commit docs/reference/contract.md"


def test_page_has_every_table():
    assert set(re.findall(r"<!-- table: (\w+) -->", PAGE)) == set(tables())


def test_unknown_table_is_an_error():
    with pytest.raises(ValueError, match="no table `Nothing`"):
        filled("<!-- table: Nothing -->\n<!-- end -->")


def test_page_explains_every_code_and_kind():
    explained = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE))))
    assert explained >= {code.value for code in Refusal} | {kind.value for kind in EventKind}


def test_page_states_the_current_bounds():
    assert MAX_CLOCK_SKEW_MS == 5 * 60_000
    assert f"{MAX_MESSAGE_BYTES:,} bytes" in PAGE
    assert f"{MAX_DETAIL_LENGTH} characters" in PAGE


def test_page_imports_only_installed_modules():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    installed = {re.split(r"[^\w-]", each)[0] for each in project["dependencies"]} | set(sys.stdlib_module_names)
    imported = re.findall(r"^import (.+)$", PAGE, re.MULTILINE)
    assert imported
    assert {name.strip() for line in imported for name in line.split(",")} <= installed


def test_page_sends_valid_values_with_kcat():
    sent = re.findall(r"^echo '(\w+)\|(\{.*\})' \|$", PAGE, re.MULTILINE)
    assert len(sent) == 2
    for key, text in sent:
        value = text.replace("'$(date +%s000)'", "1700000000000")
        if "user" in json.loads(value):
            assert decode_event(value.encode(), key=key.encode(), now_ms=1_700_000_000_000).user == key
        else:
            assert decode_item(value.encode(), key=key.encode()).id == key
