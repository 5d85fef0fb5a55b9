"""The columns of JSON objects and Parquet files. Nested ones are expanded and named by their path (`user.id`).

`objects` collects the names of expanded columns, with the columns inside.
"""

from collections.abc import Callable
from typing import Any

DEEPEST = 4


def quoted(text: str) -> str:
    """`text` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


LEAF = "leaf"


def widen(tree: dict[str, Any], row: dict[str, Any]) -> bool:
    """Add the keys of a JSON object to the structure `tree`: dicts of keys, down to `LEAF` for what is not always an
    object, or null. Returns whether there were new ones."""
    grown = False
    for key, value in row.items():
        grown |= key not in tree
        held = tree.setdefault(key, {})
        if isinstance(value, dict):
            grown |= isinstance(held, dict) and widen(held, value)
        elif value is not None:
            tree[key] = LEAF
    return grown


def paths(
    tree: dict[str, Any], objects: dict[str, list[str]], above: tuple[str, ...] = (), path: str = "$"
) -> list[tuple[str, str]]:
    """The name and JSON path of each column of objects with the structure `tree`."""
    found: list[tuple[str, str]] = []
    for key, below in tree.items():
        name, here = (*above, key), path + '."' + key.replace('"', '\\"') + '"'
        if isinstance(below, dict) and below and len(above) < DEEPEST:
            inner = paths(below, objects, name, here)
            objects[".".join(name)] = [each for each, _ in inner]
            found += inner
        else:
            found.append((".".join(name), here))
    return found


def top_names(schema: list[tuple[Any, ...]]) -> list[str]:
    """The columns of a Parquet file, from its schema: a flat list of names with their numbers of children."""

    def past(at: int) -> int:
        children, at = schema[at][1] or 0, at + 1
        for _ in range(children):
            at = past(at)
        return at

    names, at = [], 1
    while at < len(schema):
        names.append(str(schema[at][0]))
        at = past(at)
    return names


def typed(
    name: str,
    value: str,
    kind: str,
    query: Callable[[str], list[tuple[Any, ...]]],
    objects: dict[str, list[str]],
) -> list[tuple[str, str]]:
    """A Parquet column's name and SQL for its text; for a struct, those of its fields. `query` reads the view
    `rows`."""
    if kind.startswith("STRUCT") and not kind.endswith("]"):
        inner: list[tuple[str, str]] = []
        for (key,) in query(f"SELECT unnest(json_keys(to_json({value}))) FROM (FROM rows LIMIT 1)"):
            below = f"struct_extract({value}, {quoted(key)})"
            type_of = query(f"SELECT typeof({below}) FROM rows LIMIT 1")[0][0]
            inner += typed(f"{name}.{key}", below, type_of, query, objects)
        objects[name] = [each for each, _ in inner]
        return inner
    if kind in {"DOUBLE", "FLOAT"}:
        whole = f"isfinite({value}) AND {value} = trunc({value}) AND abs({value}) < 1e19"
        return [(name, f"CASE WHEN {whole} THEN try_cast({value} AS HUGEINT)::VARCHAR ELSE {value}::VARCHAR END")]
    if kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION")):
        return [(name, f"to_json({value})::VARCHAR")]
    if kind == "BLOB":
        return [(name, f"coalesce(try(decode({value})), hex({value}))")]
    return [(name, f"{value}::VARCHAR")]
