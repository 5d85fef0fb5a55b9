"""Derive the kind and the rating of each event row."""

from deploy.errors import BadSource
from deploy.files.drafts import Draft
from deploy.files.nested_columns import quoted
from deploy.files.vocabulary import KINDS, MISSING, plain
from schemas.events import EventKind

MAX_WORDS = 1_000
"""Maximum different words in a column of kinds."""

SCALES = (5.0, 10.0, 100.0)
OUTLIERS = 100
"""Up to one in this many ratings may exceed the guessed scale."""

ORDERS = ("order", "invoice", "quantity", "price", "purchase", "transaction")
IGNORE = ""


def kind_and_value(draft: Draft) -> None:
    """Derive `kind`, and `value`, the rating from 0 to 5. Raises `BadSource` if no kind is recognised."""
    fixed = draft.wanted.fixed
    words = _words(draft) if draft.has("kind") else None
    if draft.has("rating"):
        draft.derive("rating", f"try_cast(replace({draft.text('rating')}, ',', '.') AS DOUBLE)")
    if fixed is not None:
        draft.report.guess("(all rows)", f"kind: {fixed.value}", "--kind")
        draft.derive("kind", quoted(fixed.value))
    elif words is not None:
        _from_words(draft, words)
    elif draft.has("rating"):
        draft.derive("kind", quoted("rate"))
    else:
        _implied(draft)
    _value(draft)


def _implied(draft: Draft) -> None:
    """Derive the kind for a file with only users and items: purchases if it looks like orders, else clicks."""
    bought = any(word in plain(name) for name in draft.table.names for word in ORDERS)
    implied = (EventKind.PURCHASE if bought else EventKind.CLICK).value
    draft.report.guess("(no kind or rating)", f"kind: {implied}", "--kind")
    draft.report.warn(
        f"no column holds a kind or a rating, so every row counts as a {implied}: --kind sets another, --kind-column "
        "and --rating-column select a column."
    )
    draft.derive("kind", quoted(implied))


def _from_words(draft: Draft, words: dict[str, str | None]) -> None:
    """Derive the kind from the words of a column; a row without a word but with a rating is a rate event."""
    text, where = draft.text("kind"), draft.where("kind")
    cases = " ".join(f"WHEN {quoted(word)} THEN {quoted(kind)}" for word, kind in words.items() if kind)
    blank = f"lower(coalesce({text}, '')) IN ({', '.join(map(quoted, MISSING))})"
    kind = f"CASE {text} {cases} END" if cases else "NULL::VARCHAR"
    if draft.has("rating"):
        kind = f"CASE WHEN {blank} AND isfinite(rating) THEN 'rate' ELSE {kind} END"
    draft.derive("kind", kind)
    draft.refuse(f"{blank} AND kind IS NULL", f"no kind in {where} (--kind-column, --kind)")
    ignored = [word for word, to in words.items() if to == IGNORE]
    if ignored:
        draft.refuse(f"{text} IN ({', '.join(map(quoted, ignored))})", "a kind that --map-kind ignores")
    unknown = _unknown(words)
    if unknown:
        draft.refuse("kind IS NULL", f"an unknown kind in {where} ({_mapping(unknown)})")
        draft.report.warn(
            f"some kinds in {where} are unknown, and their rows are left out: set their meaning ({_mapping(unknown)})."
        )


def _words(draft: Draft) -> dict[str, str | None] | None:
    """The kind that each word of the kind column means; None if a guessed column holds no kinds."""
    wanted, where = draft.wanted, f"{draft.where('kind')} of {draft.table.path}"
    rows = draft.table.query(
        f"SELECT {draft.text('kind')} AS word, count(*) FROM raw WHERE word IS NOT NULL GROUP BY word "
        f"ORDER BY count(*) DESC, word LIMIT {MAX_WORDS + 1}"
    )
    given = {key: to.value if to else IGNORE for word, to in wanted.kinds.items() for key in (plain(word), word)}
    known = {word: kind.value for word, kind in KINDS.items()}
    words: dict[str, str | None] = {}
    for word, _ in rows:
        words[word] = given.get(word, given.get(plain(word), known.get(plain(word))))
    unknown = _unknown(words)
    if wanted.kind is None and draft.has("rating") and not any(words.values()) and unknown:
        return None
    if len(rows) > MAX_WORDS:
        raise BadSource(
            f"{where} holds over {MAX_WORDS:,} different words, too many for kinds. Select another with --kind-column, "
            "or set one kind for all rows with --kind."
        )
    if unknown and not any(words.values()):
        raise BadSource(
            f"{where} holds no known kind. Set the meaning of its words ({_mapping(unknown)}), select another column "
            "with --kind-column, or set one kind for all rows with --kind. "
            f"Kinds: {', '.join(sorted(set(known.values())))}."
        )
    shown = ", ".join(f"{word[:30]} -> {words[word] or '?'} ({count:,})" for word, count in rows[:8])
    draft.guess("kind", f"kind: {shown}", "--map-kind")
    return words


def _unknown(words: dict[str, str | None]) -> list[str]:
    return [word for word, kind in words.items() if kind is None and word.lower() not in MISSING]


def _mapping(words: list[str]) -> str:
    more = f" and {len(words) - 5:,} more" if len(words) > 5 else ""
    return ", ".join(f"--map-kind '{word[:30]}=KIND'" for word in words[:5]) + more


def _value(draft: Draft) -> None:
    """Derive the rating from 0 to 5 of `rate` events; refuse those without one."""
    if not draft.has("rating"):
        draft.refuse("kind = 'rate'", "a rate event without a rating (--rating-column)")
        draft.derive("value", "NULL::DOUBLE")
        return
    where = draft.where("rating")
    best = draft.wanted.rating_max or _best(draft)
    draft.guess("rating", f"rating, the best is {best:g}", "--rating-max")
    draft.refuse("kind = 'rate' AND NOT coalesce(isfinite(rating), false)", f"no rating in {where} (--rating-column)")
    draft.refuse("kind = 'rate' AND rating < 0", f"a rating below 0 in {where} (--rating-column, --kind)")
    draft.refuse(f"kind = 'rate' AND rating > {best!r}", f"a rating above {best:g} in {where} (--rating-max)")
    draft.derive("value", f"CASE WHEN kind = 'rate' THEN least(5.0, rating * 5.0 / {best!r}) END")


def _best(draft: Draft) -> float:
    """The scale that all but a few ratings fit. Raises `BadSource` if there is none."""
    where = draft.where("rating")
    above = ", ".join(f"count(*) FILTER (WHERE rating > {scale!r})" for scale in SCALES)
    top, total, *outliers = draft.table.query(
        f"SELECT max(rating), count(*), {above} FROM {draft.source} WHERE kind = 'rate' AND isfinite(rating)"
    )[0]
    for scale, count in zip(SCALES, outliers, strict=True):
        if count * OUTLIERS <= total:
            if scale != SCALES[0]:
                draft.report.warn(
                    f"ratings up to {scale:g} in {where}: confirm this scale with --rating-max {scale:g}, or set the "
                    "best possible rating."
                )
            return scale
    raise BadSource(
        f"{where} of {draft.table.path} holds ratings up to {top:,g}. Set the best one with --rating-max, select "
        "another column with --rating-column, or set one kind for all rows with --kind."
    )
