"""Tests that share a broker run in one process, so that it is started once."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = """
import pytest
from tests.conftest import pytest_collection_modifyitems

@pytest.fixture(scope="module", params=["embedded", "kafka"])
def broker(request):
    return request.param
"""

SHARING = """
import os
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range(10))
def test_on_a_broker(broker, number):
    Path(f"{broker}-{os.environ['PYTEST_XDIST_WORKER']}").touch()
"""


def test_broker_is_shared_within_one_process(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(SHARING)
    result = pytester.runpytest_subprocess("-n", "2", "--dist", "loadgroup", "-p", "no:asyncio")
    result.assert_outcomes(passed=20)
    used = sorted(path.name.partition("-")[0] for path in pytester.path.glob("*-gw*"))
    assert used == ["embedded", "kafka"], "a broker was started in two processes"
