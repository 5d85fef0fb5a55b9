"""The private parts of the libraries: they exist in the pinned versions, and the list of them is complete."""

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import streams
from streams.kafka.private_parts import ATTRIBUTES, METHODS, VERSIONS

ROOT = Path(__file__).parents[3]
LIBRARIES = ("faust", "mode", "aiokafka", "aiohttp")


def named(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def parameters(function: Any) -> str:
    marks: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    found = list(inspect.signature(function).parameters.values())[1:]
    return " ".join(marks.get(each.kind, "") + each.name for each in found)


def assigned(cls: type) -> set[str]:
    """The attributes that a class or one of its bases declares, or sets on `self`."""
    found: set[str] = set()
    for base in cls.__mro__[:-1]:
        found |= set(vars(base)) | set(getattr(base, "__annotations__", {}))
        try:
            source = textwrap.dedent(inspect.getsource(base))
        except (OSError, TypeError):
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.attr)
    return found


@pytest.mark.parametrize("library", VERSIONS)
def test_pinned_version_is_the_checked_one(library: str) -> None:
    pins = {
        found[1]
        for path in (ROOT / "locked").glob("*.txt")
        if (found := re.search(rf"^{library}==(\S+)", path.read_text(), re.MULTILINE))
    }
    assert pins == {VERSIONS[library]} == {version(library)}, "check the private parts in the new version"


@pytest.mark.parametrize("path", METHODS)
def test_methods_have_the_expected_parameters(path: str) -> None:
    expected = METHODS[path]
    assert {name: parameters(getattr(named(path), name)) for name in expected} == expected


@pytest.mark.parametrize("path", ATTRIBUTES)
def test_attributes_exist(path: str) -> None:
    assert ATTRIBUTES[path] - assigned(named(path)) == set()


def test_connection_is_made_with_the_expected_options() -> None:
    used = "client_id request_timeout_ms ssl_context security_protocol sasl_mechanism"
    used += " sasl_plain_username sasl_plain_password"
    assert set(used.split()) <= set(inspect.signature(named("aiokafka.conn:create_conn")).parameters)


def modules() -> list[Any]:
    found = pkgutil.walk_packages(streams.__path__, "streams.")
    return [importlib.import_module(each.name) for each in found]


def test_list_of_overridden_methods_is_complete() -> None:
    listed = {(named(path), name) for path, of in METHODS.items() for name in of}
    listed |= {(named(path), name) for path, of in ATTRIBUTES.items() for name in of}
    missing = []
    for module in modules():
        for cls in vars(module).values():
            if not (isinstance(cls, type) and cls.__module__ == module.__name__):
                continue
            theirs = [
                base for base in cls.__mro__[1:] if base.__module__.split(".")[0] in ("faust", "mode", "aiokafka")
            ]
            for name in set(vars(cls)) - {"__init__"}:
                owned = [base for base in theirs if name in vars(base) and inspect.isfunction(vars(base)[name])]
                if owned and not any((base, name) in listed for base in theirs):
                    missing.append(f"{cls.__name__}.{name}")
    assert missing == []


def test_list_of_private_attributes_is_complete() -> None:
    """Private names of objects other than `self` are listed, or are our own."""
    listed = {name for of in (*METHODS.values(), *ATTRIBUTES.values()) for name in of}
    used: dict[str, str] = {}
    ours: set[str] = set()
    for path in sorted((ROOT / "streams").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                ours.add(node.name)
            if not isinstance(node, ast.Attribute) or not re.match(r"_[a-z]", node.attr):
                continue
            owner = ast.unparse(node.value)
            if owner in ("self", "cls"):
                ours |= {node.attr} if isinstance(node.ctx, ast.Store) else set()
            elif owner != "os" and node.attr != "_replace":  # that of named tuples is public
                used[node.attr] = f"{path.name}: {owner}.{node.attr}"
    assert {where for name, where in used.items() if name not in listed | ours} == set()
