"""The fields of a mapping: where each is found in a record, and how it is converted. Pure.

A field is written as a path, as a list of paths (the first that is there counts), or as a table:

    user = "userId"
    item = ["product.id", "sku"]
    kind = { path = "eventType", map = { productView = "view" }, other = "skip" }
    ts = { path = "occurredAt", unit = "s" }
    scene = { value = "home" }
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from schemas.actions import ACTIONS
from schemas.errors import Refusal, Refused
from schemas.events import EventKind
from schemas.limits import MAX_DETAIL_LENGTH, MAX_TEXT_LENGTH
from streams.errors import BadMapping
from streams.mapping import conversions
from streams.mapping.conversions import ISO, UNITS, Convert, Unfit
from streams.mapping.paths import Get, Parsed, Path, first_of, getter, parse
from streams.mapping.tables import Table, described

MAX_MEANINGS = 1_000
MAX_PATHS = 32
SKIP = "skip"


class Field(NamedTuple):
    """One field. `where` names its paths in dead letters; `constant` is its value without any path. `default` is used
    where nothing is found; without one, a `required` field refuses the record."""

    name: str
    where: str
    paths: tuple[Path, ...]
    get: Get | None
    convert: Convert
    default: Any = None
    constant: Any = None
    required: bool = False
    unit: str = ""

    def of(self, parsed: Parsed) -> Any:
        """The field's value in a record; None without one. Raises `Refused` and `conversions.Skip`."""
        if self.get is None:
            return self.constant
        found = self.get(parsed)
        if found is None:
            if self.default is None and self.required:
                raise refused(self.name, "nothing", self.where)
            return self.default
        try:
            return self.convert(found)
        except Unfit as error:
            raise refused(self.name, str(error), self.where) from None
        except (ValueError, ArithmeticError):
            raise refused(self.name, "out of bounds", self.where) from None


def refused(name: str, why: str, where: str) -> Refused:
    """The refusal of a record for one field."""
    return Refused(Refusal.INVALID, f"`{name}`: {why} - at `{where}`"[:MAX_DETAIL_LENGTH])


def paths_of(table: Table, key: str, texts: tuple[str, ...], *, plural: bool = False) -> tuple[Path, ...]:
    """Parse paths. Raises `BadMapping`."""
    if len(texts) > MAX_PATHS:
        raise table.wrong(key, f"at most {MAX_PATHS} paths")
    found = []
    for text in texts:
        try:
            path = parse(text)
        except ValueError as error:
            raise table.wrong(key, f"the path {described(text)} is wrong: {error}") from None
        if path.plural and not plural:
            raise table.wrong(key, f"the path {described(text)} has [*], which only attributes take")
        found.append(path)
    return tuple(found)


def field(table: Table, name: str, *, required: bool = False) -> Field | None:
    """The field `name` of an [[events]] or [[items]] table; None if it is not mapped. Raises `BadMapping`."""
    if name not in table:
        if required:
            raise BadMapping(f'`{table.where}` has no `{name}`: say where it is, as in {name} = "path.of.field".')
        return None
    more, make = _KINDS_OF_FIELDS[name]
    given = table.raw(name)
    if not isinstance(given, dict):
        given = {"path": given}
    inner = Table(given, table.name(name), ("path", *(() if name == "attributes" else ("value",)), "default", *more))
    if ("path" in inner) == ("value" in inner):
        raise BadMapping(f"`{inner.where}` takes either `path`, where it is in a record, or `value`, the same for all.")
    paths = paths_of(inner, "path", inner.texts("path"), plural=name == "attributes")
    convert = make(inner)
    if name == "kind" and len(paths) == 1 and paths[0].text in set(EventKind) and len(given) == 1:
        raise table.wrong(name, f'a text is a path; for one kind write kind = {{ value = "{paths[0].text}" }}')
    constants = {key: _constant(inner, key, convert) for key in ("value", "default") if key in inner}
    get = _union(tuple(map(getter, paths))) if name == "attributes" else first_of(tuple(map(getter, paths)))
    return Field(
        name,
        " or ".join(path.text for path in paths),
        paths,
        get if paths else None,
        convert,
        constants.get("default"),
        constants.get("value"),
        required,
        str(inner.raw("unit", "ms")) if "unit" in more else "",
    )


def _constant(table: Table, key: str, convert: Convert) -> Any:
    """A constant of the file, as the field takes it; the word of a kind is the contract's."""
    given = table.raw(key)
    if table.where.endswith(".kind"):
        return kind_of(table, key, given)
    try:
        return convert(given)
    except (Unfit, ValueError, ArithmeticError) as error:
        raise table.wrong(key, f"{described(given)} does not fit: {error}") from None


def kind_of(table: Table, key: str, word: Any) -> EventKind:
    if not isinstance(word, str) or word not in set(EventKind):
        raise table.wrong(key, f"{described(word)} is no kind of event: {', '.join(EventKind)}")
    return EventKind(word)


def _union(getters: tuple[Get, ...]) -> Get:
    def get(parsed: Parsed) -> Any:
        found: list[Any] = []
        for each in getters:
            one = each(parsed)
            if type(one) is list:
                found += one
            elif one is not None:
                found.append(one)
        return found or None

    return get


def _identifier(table: Table) -> Convert:
    prefix = table.text("prefix")
    return conversions.prefixed(prefix) if prefix else conversions.identifier


def _kind(table: Table) -> Convert:
    other, skips = None, table.raw("other") == SKIP
    if "other" in table and not skips:
        other = kind_of(table, "other", table.raw("other"))
    like, dislike = table.number("like_from"), table.number("dislike_to")
    if like is not None or dislike is not None:
        if like is None or dislike is None or dislike >= like or "map" in table:
            raise table.wrong("like_from", "it goes with a lower `dislike_to`, and without `map`")
        return conversions.by_rating(like, dislike, other, skips=skips)
    meanings: Mapping[str, EventKind | None] | None = None
    if "map" in table:
        words = table.raw("map")
        given = Table(words, table.name("map"), words if isinstance(words, dict) else ())
        if not 0 < len(words) <= MAX_MEANINGS:
            raise table.wrong("map", f"1 to {MAX_MEANINGS} words are needed")
        meanings = {word: None if to == SKIP else kind_of(given, word, to) for word, to in words.items()}
    return conversions.kinds(meanings, other, skips=skips)


def _time(table: Table) -> Convert:
    return conversions.millis(table.one_of("unit", (*UNITS, ISO), "ms"))


def _rating(table: Table) -> Convert:
    if "range" not in table:
        return conversions.number
    given = table.raw("range")
    numbers = isinstance(given, list) and len(given) == 2 and all(type(each) in (int, float) for each in given)
    if not numbers or not given[0] < given[1]:
        raise table.wrong("range", f"the worst and the best rating are needed, as in [1, 10], not {described(given)}")
    return conversions.rating(float(given[0]), float(given[1]))


def _text(most: int) -> Callable[[Table], Convert]:
    def make(table: Table) -> Convert:
        return conversions.cut_to(most, conversions.words) if table.flag("cut") else conversions.words

    return make


def _scene(table: Table) -> Convert:
    return conversions.words


def _labels(table: Table) -> Convert:
    return conversions.labels(table.text("split"), cut=table.flag("cut"))


def _vector(table: Table) -> Convert:
    return conversions.vector


_KINDS_OF_FIELDS: dict[str, tuple[tuple[str, ...], Callable[[Table], Convert]]] = {
    **dict.fromkeys(("id", "user", "item", "list", "target", "tombstone_id"), (("prefix",), _identifier)),
    "kind": (("map", "other", "like_from", "dislike_to"), _kind),
    "ts": (("unit",), _time),
    "published": (("unit",), _time),
    "value": (("range",), _rating),
    "scene": ((), _scene),
    "title": (("cut",), _text(300)),
    "text": (("cut",), _text(MAX_TEXT_LENGTH)),
    "attributes": (("split", "cut"), _labels),
    "image": ((), _vector),
    "audio": ((), _vector),
}
"""By field, the keys of its table beside path, value and default, and what makes its conversion."""

INTERACTIONS = frozenset(kind for kind, action in ACTIONS.items() if "item" in action.needs)


class Rule(NamedTuple):
    """A condition on a record: the data at a path is one of some values, or missing."""

    get: Get
    values: frozenset[Any]
    missing: bool

    def holds(self, parsed: Parsed) -> bool:
        found = self.get(parsed)
        if found is None:
            return self.missing
        # 1 and True are equal, and neither is the text "1".
        return type(found) in (str, int, float, bool) and (type(found) is bool, found) in self.values


def rules(table: Table, key: str) -> tuple[tuple[Rule, ...], tuple[Path, ...]]:
    """The rules under `key`: a table or a list of tables. Raises `BadMapping`."""
    given = table.raw(key, [])
    found: list[Rule] = []
    paths: list[Path] = []
    for number, each in enumerate(given if isinstance(given, list) else [given]):
        name = f"{table.name(key)}[{number}]" if isinstance(given, list) else table.name(key)
        inner = Table(each, name, ("path", "values", "missing"))
        if "path" not in inner:
            raise BadMapping(f"`{name}` has no `path`.")
        parsed = paths_of(inner, "path", inner.texts("path"))
        values = inner.raw("values", [])
        scalars = isinstance(values, list) and all(type(value) in (str, int, float, bool) for value in values)
        if not scalars or not (values or inner.flag("missing")):
            raise BadMapping(f"`{name}` needs `values`, a list of texts, numbers, true or false, or `missing = true`.")
        held = frozenset((type(value) is bool, value) for value in values)
        found.append(Rule(first_of(tuple(map(getter, parsed))), held, inner.flag("missing")))
        paths += parsed
    return tuple(found), tuple(paths)


def any_holds(found: tuple[Rule, ...], parsed: Parsed) -> bool:
    """Whether one of the rules holds for a record."""
    return any(rule.holds(parsed) for rule in found) if found else False
