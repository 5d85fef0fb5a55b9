"""Search by words: folding, words in any script, the index as items come and go, and its bounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.items import Item
from streams.items import search
from streams.items.catalogue import Catalogue
from streams.items.search import MAX_ITEM_WORDS, Found, SearchIndex, foremost, posted, query, words


def item(name: str, title: str, text: str = "", *attributes: str) -> Item:
    return Item(id=name, title=title, text=text, attributes=attributes)


def index(*titles: str) -> SearchIndex:
    made = SearchIndex()
    for number, title in enumerate(titles):
        made.put(number, None, item(f"i{number}", title))
    return made


def found(made: SearchIndex, text: str) -> list[int]:
    return [int(number) for number in made.find(query(text)).numbers]


@pytest.mark.parametrize(
    ("title", "asked"),
    [
        ("Amélie", "amelie"),
        ("amelie", "AMÉLIE"),
        ("Straße", "STRASSE"),
        ("Ångström", "angstrom"),
        ("Søren Kierkegaard", "soren"),
        ("Łódź", "lodz"),
        ("İstanbul", "istanbul"),
        ("\uff26\uff55\uff4c\uff4c width", "full"),
        ("ﬁnding", "finding"),
        ("Ёлка", "елка"),
        ("Οδύσσεια ΣΟΦΟΣ", "σοφος"),
        ("שָׁלוֹם", "שלום"),
        ("مُحَمَّد", "محمد"),
        ("हिन्दी सिनेमा", "हिन्दी"),
        ("기생충", "기생"),
        ("千与千寻", "千寻"),
        ("千与千寻", "寻"),
        ("となりのトトロ", "トトロ"),
        ("スター・ウォーズ", "ウォーズ"),
        ("ฉลาดเกมส์โกง", "เกมส์"),
        ("Schindler's List", "schindler"),
        ("L'Avventura", "avventura"),
        ("Se7en", "se7"),
        ("Spider-Man: Far_From Home", "man from home"),
        ("🦦 Otter", "otter"),
    ],
)
def test_title_is_found_in_any_script_and_spelling(title: str, asked: str) -> None:
    assert found(index("Other", title), asked) == [1]


@pytest.mark.parametrize(
    ("title", "asked"), [("か", "が"), ("हिन्दी", "हन"), ("千与千寻", "千千"), ("war", "raw"), ("star wars", "wa star")]
)
def test_other_words_do_not_match(title: str, asked: str) -> None:
    assert found(index(title), asked) == []


@given(st.text(min_size=1, max_size=60))
def test_every_item_is_found_by_its_own_title(title: str) -> None:
    made = index("else", title)
    for asked in (title, title.upper(), title[: len(title) // 2 + 1]):
        if asked.casefold() == title.casefold() and query(asked) != query(""):
            assert 1 in found(made, asked)


def test_last_word_is_the_beginning_of_one_while_nothing_follows_it() -> None:
    made = index("Star Wars", "A Star Is Born", "Starman")
    assert found(made, "sta") == [0, 1, 2]
    assert found(made, "star") == [0, 1, 2]
    assert found(made, "star ") == [0, 1]
    assert found(made, "star w") == [0]
    assert found(made, "w star") == []


@pytest.mark.parametrize("asked", ["", "   ", "…!?", "\x00\x1b", "_"])
def test_query_without_words_finds_nothing(asked: str) -> None:
    assert found(index("Star"), asked) == []


def test_attributes_and_text_are_found_and_the_title_is_told_apart() -> None:
    made = SearchIndex()
    made.put(0, None, item("a", "Solaris", "a psychologist in space", "science fiction"))
    made.put(1, None, item("b", "Space Jam"))
    answer = made.find(query("space"))
    assert (answer.numbers.tolist(), answer.in_title.tolist(), answer.whole) == ([0, 1], [False, True], True)
    assert found(made, "fiction psych") == [0]
    assert made.find(query("solaris space")).in_title.tolist() == [False]


NAMES = st.sampled_from([f"i{number}" for number in range(6)])
TITLES = st.lists(st.sampled_from(["star", "stars", "wars", "étoile", "千与千寻", "x"]), min_size=1, max_size=4)


@given(st.lists(st.tuples(NAMES, st.none() | TITLES), max_size=40))
def test_index_follows_the_catalogue(steps: list[tuple[str, list[str] | None]]) -> None:
    catalogue = Catalogue()
    catalogue.search = SearchIndex()
    held: dict[str, list[str]] = {}
    for name, title in steps:
        if title is None:
            catalogue.withdraw(name)
            held.pop(name, None)
        else:
            catalogue.add(item(name, " ".join(title), "wars"))
            held[name] = title
    matching = {
        "star": {"star", "stars"},
        "star ": {"star"},
        "wars ": {"wars"},
        "etoile ": {"étoile"},
        "千寻": {"千与千寻"},
    }
    for asked, those in matching.items():
        answer = catalogue.search.find(query(asked))
        want = {name: bool(those.intersection(title)) for name, title in held.items()}
        titled = {catalogue.index[int(number)] for number in answer.numbers[answer.in_title]}
        assert titled == {name for name, there in want.items() if there}
        elsewhere = {catalogue.index[int(number)] for number in answer.numbers} - titled
        assert elsewhere == ({name for name, there in want.items() if not there} if asked == "wars " else set())


def test_words_of_an_item_are_bounded_and_the_title_comes_first() -> None:
    long = " ".join(f"w{number}" for number in range(200))
    assert len(posted(item("a", "t " + long, long, "genre"))) == MAX_ITEM_WORDS
    of = posted(item("a", "title", long, "genre"))
    assert len(of) == MAX_ITEM_WORDS
    assert (of["title"], of["genre"]) == (True, False)


def test_query_is_bounded() -> None:
    asked = query(" ".join(f"a{number}" for number in range(50)))
    assert len(asked.words) == search.MAX_QUERY_WORDS
    assert query("x" * 500).beginnings == ("x" * search.MAX_QUERY,)


def test_full_vocabulary_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MAX_VOCABULARY", 2)
    made = index("one two three")
    assert not made.find(query("one")).whole
    assert found(made, "three") == []


def test_beginning_of_too_many_words_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    titles = [f"a{number}" for number in range(40)]
    monkeypatch.setattr(search, "UNSORTED", 1)
    assert index(*titles).find(query("a")).whole
    monkeypatch.setattr(search, "MAX_EXPANDED", 10)
    answer = index(*titles).find(query("a"))
    assert not answer.whole
    assert 0 < len(answer.numbers) < 40
    monkeypatch.setattr(search, "MAX_EXPANDED", 100)
    monkeypatch.setattr(search, "MAX_POSTED", 5)
    answer = index(*titles).find(query("a"))
    assert (len(answer.numbers), answer.whole) == (5, False)


def test_words_of_no_item_are_dropped_once_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "UNSORTED", 4)
    made = SearchIndex()
    for number in range(100):
        made.put(0, item("a", f"old{number - 1}") if number else None, item("a", f"old{number}"))
    assert len(made._postings) < 20
    assert found(made, "old") == [0]
    assert found(made, "old98 ") == []


def test_foremost_matches_are_those_with_the_title_then_the_most_liked() -> None:
    answer = Found(np.array([1, 2, 5, 9]), np.array([False, False, True, False]), whole=True)
    likes = np.array([0.0, 1.0, 7.0, 0.0, 0.0, 0.0])
    some = foremost(answer, 2, likes)
    assert (some.numbers.tolist(), some.in_title.tolist()) == ([2, 5], [False, True])
    assert foremost(answer, 4, likes) is answer


def test_words_of_a_script_without_spaces_are_pairs() -> None:
    assert list(words("千与千寻 Spirited Away")) == ["千与", "与千", "千寻", "寻", "spirited", "away"]
