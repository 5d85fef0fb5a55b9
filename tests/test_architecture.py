"""The rules of the tree: who may import whom, what stays pure, and what is never committed."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"schemas", "streams", "inference", "deploy", "tests"}

MAY_IMPORT = {
    "schemas": {"schemas"},
    "streams": {"schemas", "streams"},
    "inference": {"schemas", "inference"},
    "deploy": {"schemas", "streams", "inference", "deploy"},
}

PURE_FOLDERS = ["fold", "privacy", "items", "graph", "candidates", "ranking", "mapping"]
PURE_MODULES = ["health/conditions", "kafka/recreated_topics", "state/expiry"]
PURE_MODULES += [f"serving/{name}" for name in ("canary", "trials", "triggers")]
PURE_MODULES += [f"training_log/{name}" for name in ("buffer", "erasures", "intake", "log_files", "tables")]
"""Of `streams`: folders and single modules that touch no network, clock or state of a module."""
PURE_VERSIONS = ["actions", "lifecycle", "rules", "state", "verdicts"]
"""Of `inference.versions`: what decides about a version."""
IMPURE_IMPORTS = {"faust", "mode", "asyncio", "aiokafka", "aiohttp", "socket", "threading", "time", "os", "subprocess"}
IMPURE_CALLS = {"datetime.now", "datetime.utcnow", "date.today", "open", "print", "input"}
RANDOM_OBJECTS = {"Random", "Generator", "default_rng", "SeedSequence"}
"""What is made with a seed or passed in. Anything else of `random` draws from the state of the module."""

MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:work|home/\w+|root|Users/\w+)/\w")
METRICS = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}
PERSONAL = {"user", "user_id", "person", "key", "id"}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def imports(module: ast.Module) -> set[str]:
    """The full names of what a module imports, wherever in it."""
    found = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "write imports in full"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def calls(module: ast.Module) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(module) if isinstance(node, ast.Call)}


def impurities(module: ast.Module) -> set[str]:
    """What a pure module imports or calls and must not."""
    imported = {name for name in imports(module) if name.split(".")[0] in IMPURE_IMPORTS}
    imported |= {
        name
        for name in imports(module)
        if re.match(r"(numpy\.)?random\.", name) and name.rpartition(".")[2] not in RANDOM_OBJECTS
    }
    called = {
        name
        for name in calls(module)
        if name in IMPURE_CALLS
        or name.endswith((".now", ".utcnow", ".today"))
        or (re.match(r"(np\.|numpy\.)?random\.\w+$", name) and name.rpartition(".")[2] not in RANDOM_OBJECTS)
    }
    changed = {f"global {name}" for node in ast.walk(module) if isinstance(node, ast.Global) for name in node.names}
    return imported | called | changed


def personal_labels(module: ast.Module) -> set[str]:
    """The names of people's identifiers among the labels of the metrics that a module defines."""
    found = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in METRICS:
            texts = {
                part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)
            }
            found |= texts & PERSONAL
    return found


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_import_only_what_they_may(package):
    for path in modules(package):
        ours = {name.split(".")[0] for name in imports(tree(path))} & OURS
        assert ours <= MAY_IMPORT[package], f"{path.relative_to(ROOT)} imports {ours - MAY_IMPORT[package]}"


def pure_modules() -> list[Path]:
    streams = ROOT / "streams"
    found = [path for folder in PURE_FOLDERS for path in modules(f"streams/{folder}")]
    versions = ROOT / "inference" / "versions"
    found += [versions / f"{name}.py" for name in PURE_VERSIONS]
    found += modules("inference/off_policy")
    return [*found, *(streams / f"{name}.py" for name in PURE_MODULES)]


@pytest.mark.parametrize("path", pure_modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_modules_touch_no_network_clock_or_global_state(path):
    found = impurities(tree(path))
    assert not found, f"{path.relative_to(ROOT)} is pure: pass in what {sorted(found)} gives"


@pytest.mark.parametrize(
    "source",
    [
        "import faust",
        "from aiokafka.errors import KafkaError",
        "def f():\n    import time",
        "from time import time",
        "import random\nrandom.shuffle([])",
        "from random import choice",
        "import numpy as np\nnp.random.rand(3)",
        "from numpy.random import rand",
        "from datetime import datetime\ndatetime.now()",
        "def f():\n    global x\n    x = 1",
    ],
)
def test_the_purity_check_finds(source):
    assert impurities(ast.parse(source))


@pytest.mark.parametrize(
    "source",
    ["import random\ndef f(rng: random.Random): return rng.random()", "import numpy as np\nnp.random.default_rng(1)"],
)
def test_the_purity_check_allows(source):
    assert not impurities(ast.parse(source))


def test_no_metric_is_labelled_with_a_person():
    for package in MAY_IMPORT:
        for path in modules(package):
            found = personal_labels(tree(path))
            assert not found, f"{path.relative_to(ROOT)} labels a metric with {found}"
    assert personal_labels(ast.parse('Counter("events", "Events.", ["kind", "user"])')) == {"user"}


def test_no_tracked_file_names_a_place_on_somebodys_machine():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        path = ROOT / name
        if path == Path(__file__) or not path.is_file():
            continue
        found = MACHINE_PATHS.search(path.read_bytes().decode("utf-8", "replace"))
        assert not found, f"{name} names {found[0]}"
    assert MACHINE_PATHS.search("see /home/ann/x")
