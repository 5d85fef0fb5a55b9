"""A missing part skips a test with a reason, and fails it where all parts are required."""

import pytest

pytest_plugins = ["pytester"]

SKIPPING = """
from tests.support import parts

def test_needs_a_part():
    parts.need(False, "No lighthouse. Build one.")

def test_needs_nothing():
    pass
"""


@pytest.mark.parametrize(
    ("required", "outcomes"), [("", {"passed": 1, "skipped": 1}), ("1", {"passed": 1, "failed": 1})]
)
def test_skip_is_a_failure_if_everything_is_required(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, required: str, outcomes: dict[str, int]
) -> None:
    monkeypatch.setenv("OUZEL_REQUIRE_ALL", required)
    pytester.makeconftest("from tests.conftest import pytest_runtest_makereport")
    pytester.makepyfile(SKIPPING)
    result = pytester.runpytest("-ra", "-p", "no:asyncio")
    result.assert_outcomes(**outcomes)
    result.stdout.fnmatch_lines(["*No lighthouse. Build one.*"])


NEEDING_TORCH = """
def lacking(name):
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

def test_imports_it():
    lacking("torch.nn")

def test_imports_something_else():
    lacking("numpyy")

def test_needs_nothing():
    pass
"""


@pytest.mark.parametrize(
    ("without", "outcomes"),
    [("1", {"passed": 1, "failed": 1, "skipped": 2}), ("", {"passed": 1, "failed": 2, "errors": 1})],
)
def test_tests_that_need_torch_are_skipped_only_if_it_is_left_out_on_purpose(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, without: str, outcomes: dict[str, int]
) -> None:
    monkeypatch.setenv("OUZEL_REQUIRE_ALL", "1")
    monkeypatch.setenv("OUZEL_WITHOUT_TORCH", without)
    pytester.makeconftest("from tests.conftest import pytest_runtest_makereport, pytest_pycollect_makemodule")
    pytester.makepyfile(test_some=NEEDING_TORCH, test_whole="raise ModuleNotFoundError('none', name='transformers')")
    result = pytester.runpytest("-ra", "-p", "no:asyncio", "--continue-on-collection-errors")
    result.assert_outcomes(**outcomes)
    if without:
        result.stdout.fnmatch_lines(["*PyTorch is left out here*"])
