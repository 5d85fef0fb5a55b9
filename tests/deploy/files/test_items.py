"""Catalogue files in common formats."""

import json
from pathlib import Path

import pytest

from deploy.errors import BadSource
from deploy.files.item_files import item_file, labels
from deploy.files.sources import ItemColumns
from schemas.items import Item


class Read:
    """The result of reading a file."""

    def __init__(self, folder: Path, text: str | bytes, **wanted: object) -> None:
        path = folder / "items.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with item_file(path, ItemColumns(**wanted)) as file:  # type: ignore[arg-type]
            self.items: list[Item] = list(file)
        assert file.tally.used == len(self.items)
        self.tally, self.report = file.tally, file.report
        self.guesses = {guess.what: guess.meaning for guess in file.report.guesses}


def test_plain_catalogue_is_read(tmp_path):
    read = Read(tmp_path, "item_id,title,genres\ni0,Heat,Crime|Drama\ni1,Toy  Story,\n")
    assert [(i.id, i.title, i.attributes) for i in read.items] == [
        ("i0", "Heat", ("Crime", "Drama")),
        ("i1", "Toy Story", ()),
    ]
    assert not read.report.warnings


@pytest.mark.parametrize(
    ("genres", "found"),
    [
        ("['Action', 'Adventure']", ("Action", "Adventure")),
        ('["Action", "Adventure"]', ("Action", "Adventure")),
        ("('Action', 'Adventure')", ("Action", "Adventure")),
        ("[['Action', 'Adventure'], ['Action']]", ("Action", "Adventure")),
        ("[{'id': 28, 'name': 'Action'}, {'id': 12, 'name': 'Adventure'}]", ("Action", "Adventure")),
        ("Action|Adventure", ("Action", "Adventure")),
        ("Action, Adventure", ("Action", "Adventure")),
        ("Action;Adventure", ("Action", "Adventure")),
        ("[Action", ("[Action",)),
        ("nan", ()),
        ("[]", ()),
    ],
)
def test_labels_are_read_in_any_notation(tmp_path, genres, found):
    cell = genres.replace('"', '""')
    assert Read(tmp_path, f'item_id,title,genres\ni0,T,"{cell}"\n').items[0].attributes == found


def test_object_is_not_read_as_labels(tmp_path):
    wifi = {"wifi": {"free": True}}
    rows = [
        {"business_id": f"b{n}", "name": f"P {n}", "categories": ["Cafes"], "attributes": wifi if n else {}}
        for n in range(9)
    ]
    read = Read(tmp_path, "".join(json.dumps(row) + "\n" for row in rows))
    assert {item.attributes for item in read.items} == {("Cafes",)}
    assert len(read.items) == 9
    assert list(labels('{"a": 1}', "|")) == []


def test_long_labels_are_split_or_left_out_and_counted(tmp_path):
    long = "Action, Adventure, Comedy, Drama, Sci-Fi, Space, Mystery, Shounen, Military, Magic"
    read = Read(tmp_path, f'item_id,title,genres\ni0,T,"{long}"\ni1,T,"{"x" * 70}|short"\n', separator="|")
    assert read.items[0].attributes[:2] == ("Action", "Adventure")
    assert len(read.items[0].attributes) == 10
    assert read.items[1].attributes == ("short",)
    assert "1 labels longer than 64 characters left out" in str(read.tally)
    many = Read(tmp_path, f"item_id,title,genres\ni0,T,{'|'.join(map(str, range(40)))}\n")
    assert len(many.items[0].attributes) == 32
    assert "more than 32 labels" in str(many.tally)


def test_keys_of_later_lines_become_columns(tmp_path):
    lines = ['{"item_id": "i0", "title": "T"}', '{"item_id": "i1", "title": "T", "description": "D", "genres": ["G"]}']
    assert [(i.text, i.attributes) for i in Read(tmp_path, "\n".join(lines)).items] == [("", ()), ("D", ("G",))]


def test_id_column_of_a_catalogue_is_found(tmp_path):
    text = "name,id,contributor_id,description\nPie,40893,55,Good\nSoup,40894.0,55,Hot\n"
    assert [(i.id, i.title, i.text) for i in Read(tmp_path, text).items] == [
        ("40893", "Pie", "Good"),
        ("40894", "Soup", "Hot"),
    ]
    assert [i.id for i in Read(tmp_path, text, item="contributor_id").items] == ["55", "55"]
    shop = "what,title\nx,T\n"
    assert [i.id for i in Read(tmp_path, shop, item_in_events="what").items] == ["x"]
    with pytest.raises(BadSource, match="--items-id-column"):
        Read(tmp_path, shop)
    with pytest.raises(BadSource, match="--title-column"):
        Read(tmp_path, "item_id,price\nx,5\n")


def test_latin_1_with_semicolons_is_read(tmp_path):
    read = Read(tmp_path, '"ISBN";"Book-Title"\n"9X";"Männer & Söhne"\n'.encode("latin-1"))
    assert [(i.id, i.title) for i in read.items] == [("9X", "Männer & Söhne")]
    assert read.guesses["encoding"].startswith("windows-1252")


def test_unusable_items_are_counted_and_long_texts_truncated(tmp_path):
    text = (
        f"item_id,title,description\n,A,\nnan,A,\ni1,,\ni2,nan,\n{'x' * 129},A,\ni3,{'t' * 400},{'d' * 5000}\ni3,B,\n"
    )
    read = Read(tmp_path, text)
    assert (read.tally.used, read.tally.bad) == (2, 5)
    assert (len(read.items[0].title), len(read.items[0].text)) == (300, 4000)
    output = str(read.tally)
    for part in (
        "no id",
        "--keep-missing",
        "2: no title in the column 'title'",
        "cut to the maximum length",
        "the last one counts",
    ):
        assert part in output
    assert "5 of 7 rows" in read.report.warnings[0]
    assert next(i.id for i in Read(tmp_path, text, keep_missing=True).items) == "nan"


def test_publication_times_are_read(tmp_path):
    read = Read(tmp_path, "item_id,title,out\ni,T,2020-01-02\nj,U,\n", published="out")
    assert [item.published for item in read.items] == [1577923200000, None]


def test_catalogue_without_a_header_has_id_title_and_labels(tmp_path):
    read = Read(tmp_path, "".join(f"{n}::Film {n} (1995)::Animation|Children's\n" for n in range(1, 9)))
    assert [(i.id, i.title, i.attributes) for i in read.items[:1]] == [
        ("1", "Film 1 (1995)", ("Animation", "Children's"))
    ]
    assert len(read.items) == 8
