"""What of a catalogue a sentence may be about, and what wishes add up to."""

from schemas.items import Item
from streams.items.catalogue import Catalogue
from streams.steering.wish import MAX_ATTRIBUTES, MAX_TITLES, Wish, combined, offer

WORDS = ["amber", "birch", "cedar", "daisy", "elder", "fern", "grass", "heather", "iris", "jasmine"]


def catalogue(*items: Item) -> Catalogue:
    made = Catalogue()
    for item in items:
        made.add(item)
    return made


def film(name: str, title: str, *attributes: str) -> Item:
    return Item(id=name, title=title, attributes=attributes)


def test_offer_has_all_attributes_of_a_small_catalogue_in_an_order_of_their_own() -> None:
    made = catalogue(film("a", "A", "drama", "war"), film("b", "B", "drama"), film("c", "C", "comedy"))
    assert offer(made, "anything").attributes == ("comedy", "drama", "war")
    assert offer(made, "anything").items == ()


def test_offer_of_a_large_catalogue_has_attributes_that_share_a_word_with_the_sentence() -> None:
    items = [film(f"{n}", f"Title {n}", f"maker {n:03}", f"maker {n + 1:03}") for n in range(500)]
    made = catalogue(*items, film("h", "H", "horror"))
    found = offer(made, "less horrors please").attributes
    assert len(found) == MAX_ATTRIBUTES
    assert "horror" in found


def test_offer_has_titles_all_of_whose_long_words_are_in_the_sentence() -> None:
    made = catalogue(film("f", "Fargo (1996)"), film("s", "Star Wars (1977)"), film("t", "Star Trek (1979)"))
    assert offer(made, "like FARGO but newer").titles == ("Fargo (1996)",)
    assert offer(made, "no more Star Wars").titles == ("Star Wars (1977)",)
    assert offer(made, "what is on?").titles == ()


def test_offer_names_no_title_twice_and_no_title_that_is_an_attribute() -> None:
    made = catalogue(film("a", "Heat"), film("b", "Heat"), film("c", "Jazz", "Jazz"))
    assert offer(made, "heat and jazz").titles == ("Heat",)
    many = catalogue(*(film(f"{word}", f"{word} Heat") for word in WORDS))
    assert len(offer(many, f"heat {' '.join(WORDS)}").titles) == MAX_TITLES


def test_offer_has_the_shortest_of_titles_with_the_same_words() -> None:
    made = catalogue(film("3", "Alien 3 (1992)"), film("1", "Alien (1979)"), film("4", "Alien: Resurrection (1997)"))
    assert offer(made, "like Alien").titles == ("Alien (1979)",)
    assert set(offer(made, "like Alien Resurrection").titles) == {"Alien (1979)", "Alien: Resurrection (1997)"}


def test_offer_survives_hostile_sentences() -> None:
    made = catalogue(film("a", "Heat", "drama"))
    for sentence in ("\x00", "<script>alert(1)</script>", "\u202e" * 280, "\U0001d573" * 280, "(", "%s{0}"):
        assert offer(made, sentence).attributes == ("drama",)


def test_meant_names_what_has_a_strength() -> None:
    made = catalogue(film("f", "Fargo (1996)", "crime", "drama"))
    found = offer(made, "like Fargo, less drama")
    by_name = dict(zip(found.names, range(3), strict=True))
    strengths = [0.0, 0.0, 0.0]
    strengths[by_name["drama"]], strengths[by_name["Fargo (1996)"]] = -0.5, 1.0
    attributes, items = found.meant(tuple(strengths))
    assert attributes == (("drama", -0.5),)
    assert items == ((made.index.find("f"), 1.0),)


def test_later_wish_about_the_same_counts() -> None:
    first = Wish("more drama, more war", 9, (("drama", 1.0), ("war", 0.5)))
    second = Wish("less drama", 9, (("drama", -0.8),), ((3, 1.0),))
    assert combined((first, second)) == ({"drama": -0.8, "war": 0.5}, {3: 1.0})
    assert combined(()) == ({}, {})
