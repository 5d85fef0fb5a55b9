"""A missing part skips a test with a reason, and fails it where all parts are required."""

import pytest

pytest_plugins = ["pytester"]

SKIPPING = """
from tests import parts

def test_needs_a_part():
    parts.need(False, "No lighthouse. Build one.")

def test_needs_nothing():
    pass
"""


@pytest.mark.parametrize(
    ("required", "outcomes"), [("", {"passed": 1, "skipped": 1}), ("1", {"passed": 1, "failed": 1})]
)
def test_a_skip_is_a_failure_where_all_is_required(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, required: str, outcomes: dict[str, int]
) -> None:
    monkeypatch.setenv("OUZEL_REQUIRE_ALL", required)
    pytester.makeconftest("from tests.conftest import pytest_runtest_makereport")
    pytester.makepyfile(SKIPPING)
    result = pytester.runpytest("-ra", "-p", "no:asyncio")
    result.assert_outcomes(**outcomes)
    result.stdout.fnmatch_lines(["*No lighthouse. Build one.*"])
