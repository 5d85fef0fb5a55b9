"""Event files in common formats: small cases with the expected result."""

import gzip
import re
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deploy.errors import BadSource
from deploy.files.event_files import EventFile
from deploy.files.formats import Asked
from deploy.files.sources import EventColumns
from schemas.events import Event, EventKind

T = 1_600_000_000


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def ratings(header: str = "user_id,item_id,rating,timestamp", time: str = "{0}", rows: int = 30) -> str:
    """Ten users, seven items, ratings from 1 to 5, an hour apart."""
    lines = (f"u{n % 10},i{n % 7},{n % 5 + 1},{time.format(T + 3600 * n)}" for n in range(rows))
    return "\n".join((header, *lines)) + "\n"


class Read:
    """The result of reading a file."""

    def __init__(self, path: Path, limit: int | None = None, **wanted: object) -> None:
        with EventFile(path, EventColumns(**wanted), limit) as file:  # type: ignore[arg-type]
            self.events = list(file)
            self.tally, self.report = file.tally, file.report
            self.counts = dict(file.counts)
        assert self.tally.used == len(self.events)
        self.warnings = "\n".join(self.report.warnings)
        self.guesses = {guess.what: guess.meaning for guess in self.report.guesses}


def test_plain_file_is_read(tmp_path):
    read = Read(written(tmp_path, "e.csv", ratings()))
    first = read.events[0]
    assert first == Event(id=first.id, user="u0", kind=EventKind.RATE, ts=T * 1000, item="i0", value=1.0)
    assert [event.ts for event in read.events] == [(T + 3600 * n) * 1000 for n in range(30)]
    assert str(read.tally) == "30 rows used"
    assert not read.report.warnings
    assert read.guesses["rating"] == "rating, the best is 5"
    assert read.guesses["timestamp"] == "time, seconds since 1970"
    assert read.guesses["likes"] == "12 of 30 rate"


@pytest.mark.parametrize(
    "header",
    [
        "userId,movieId,rating,timestamp",
        "user_id,movie_id,Rating,created_at",
        "userID,ProductId,score,datetime",
        "UserId,productId,overall,unixReviewTime",
        "visitorid,book_id,stars,event_time",
        "reviewerID,asin,Book-Rating,date",
        "CUSTOMER_ID,track_id,user_rating,ts",
        "user_id:token,item_id:token,rating:float,timestamp:float",
        '\ufeff"user_id","item_id","rating","timestamp"',
    ],
)
def test_usual_column_names_are_found_in_any_case(tmp_path, header):
    read = Read(written(tmp_path, "e.csv", ratings(header)))
    assert [(e.user, e.item, e.value, e.ts) for e in read.events[:2]] == [
        ("u0", "i0", 1.0, T * 1000),
        ("u1", "i1", 2.0, (T + 3600) * 1000),
    ]


def test_missing_column_error_names_the_option(tmp_path):
    path = written(tmp_path, "e.csv", ratings("user_id,thing,rating,timestamp"))
    with pytest.raises(BadSource, match=r"no column that looks like the item.*user_id, thing.*--item-column"):
        Read(path)
    with pytest.raises(BadSource, match="no column 'nope' for --item-column"):
        Read(path, item="nope")
    assert len(Read(path, item="thing").events) == len(Read(path, item="2").events) == 30


@pytest.mark.parametrize(
    ("times", "form", "second"),
    [
        ([str(T), str(T + 1)], "seconds", T),
        ([f"{T}.25", f"{T + 1}.5"], "seconds", T + 0.25),
        ([f"{T}000", f"{T + 1}000"], "milliseconds", T),
        ([f"{T}000000", f"{T + 1}000000"], "microseconds", T),
        ([f"{T}000000000", f"{T + 1}000000000"], "nanoseconds", T),
        (["1.6e15", "1.6e15"], "microseconds", T),
        (["20200913", "20200914"], "%Y%m%d", 1599955200),
        (["20200913122640", "20200914000000"], "%Y%m%d%H%M%S", T),
        (["2020-09-13", "2020-09-14"], "ISO 8601", 1599955200),
        (["2020-09-13 12:26:40 UTC", "2020-09-14 12:26:40 UTC"], "ISO 8601", T),
        (["2020-09-13T12:26:40.000Z", "2020-09-13T12:26:41.000Z"], "ISO 8601", T),
        (["2020-09-13T14:26:40+02:00", "2020-09-13T14:26:41+0200"], "ISO 8601", T),
        (["2020/09/13 12:26:40", "2020/09/13 12:26:41"], "ISO 8601", T),
        (["Sun Sep 13 12:26:40 +0000 2020", "Sun Sep 13 12:26:41 +0000 2020"], "%a %b", T),
        (["Sun, 13 Sep 2020 12:26:40 GMT", "Sun, 13 Sep 2020 12:26:41 GMT"], "%a, %d", T),
        (["09 13, 2020", "09 14, 2020"], "%m %d, %Y", 1599955200),
        (["Sep 13, 2020", "Sep 14, 2020"], "%b %d, %Y", 1599955200),
        (["13.09.2020 12:26", "14.09.2020 12:26"], "%d.%m.%Y", 1599999960),
        (["9/13/2020 12:26", "9/14/2020 12:26"], "%m/%d/%Y", 1599999960),
        (["13/9/2020 12:26", "14/9/2020 12:26"], "%d/%m/%Y", 1599999960),
        (["9/13/2020 2:26 PM", "9/14/2020 12:26 PM"], "%m/%d/%Y %I", 1600007160),
        (["9/13/20", "9/14/20"], "%m/%d/%y", 1599955200),
    ],
)
def test_times_are_read_in_their_format(tmp_path, times, form, second):
    lines = "".join(f'u{n},i{n},5,"{time}"\n' for n, time in enumerate(times * 5))
    read = Read(written(tmp_path, "e.csv", f"user,item,rating,time\n{lines}"))
    assert read.events[0].ts == second * 1000
    assert len(read.events) == 10
    assert form in read.guesses["time"]


@pytest.mark.parametrize(("time", "asks"), [("12/1/2010 8:26", "%m/%d/%Y %H:%M"), ("someday", "--time-format")])
def test_ambiguous_times_error_names_the_column_and_the_option(tmp_path, time, asks):
    path = written(tmp_path, "e.csv", ratings("user,item,rating,InvoiceDate", time))
    with pytest.raises(
        BadSource, match=f"'InvoiceDate'.*--time-format.*{re.escape(asks[:6])}" if "%" in asks else asks
    ):
        Read(path)


def test_time_format_and_a_zone_can_be_given(tmp_path):
    path = written(tmp_path, "e.csv", ratings("user,item,rating,InvoiceDate", "12/1/2010 8:26"))
    american, british = Read(path, time_format="%m/%d/%Y %H:%M"), Read(path, time_format="%d/%m/%Y %H:%M")
    assert american.events[0].ts == datetime(2010, 12, 1, 8, 26, tzinfo=UTC).timestamp() * 1000
    assert british.events[0].ts == datetime(2010, 1, 12, 8, 26, tzinfo=UTC).timestamp() * 1000
    berlin = Read(path, time_format="%m/%d/%Y %H:%M", time_zone="Europe/Berlin")
    assert american.events[0].ts - berlin.events[0].ts == 3_600_000


def test_implausible_times_are_reported(tmp_path):
    read = Read(written(tmp_path, "e.csv", ratings(time="7")))
    assert "all times are before 1980" in read.warnings
    assert "--time-format" in read.warnings
    late = Read(written(tmp_path, "l.csv", ratings() + f"u1,i1,5,{T}000\n"))
    assert "after 2100 in the column 'timestamp' (--time-format), first in row 31" in str(late.tally)


def test_rows_without_times_keep_their_order_and_are_reported(tmp_path):
    path = written(tmp_path, "e.csv", "user,item,rating\nu,a,5\nu,b,4\nu,c,5\n")
    read = Read(path)
    assert [e.item for e in sorted(read.events, key=lambda e: e.ts)] == ["a", "b", "c"]
    assert "--time-column" in read.warnings
    assert "--row-order" in read.warnings
    assert not Read(path, row_order=True).report.warnings
    timed = written(tmp_path, "t.csv", ratings())
    assert [e.ts for e in Read(timed, row_order=True).events][:2] == [946684801000, 946684802000]


@pytest.mark.parametrize(
    ("values", "best", "first"),
    [
        (range(1, 6), 5, 1.0),
        ([0.5, 1, 1.5, 4.5, 5], 5, 0.5),
        (range(11), 10, 0.0),
        ([10, 55, 100], 100, 0.5),
        (["4,5", "5,0", "1,0"], 5, 4.5),
    ],
)
def test_scale_of_ratings_is_detected_and_named(tmp_path, values, best, first):
    lines = "".join(f"u{n};i{n};{value};{T + n}\n" for n, value in enumerate(list(values) * 10))
    read = Read(written(tmp_path, "e.csv", f"user;item;rating;time\n{lines}"))
    assert read.guesses["rating"] == f"rating, the best is {best}"
    assert read.events[0].value == first
    assert (f"--rating-max {best}" in read.warnings) == (best != 5)
    assert max(e.value or 0 for e in read.events) == 5.0


def test_implausible_scale_asks_for_the_option(tmp_path):
    lines = "".join(f"u{n},i{n},{n * 50},{T + n}\n" for n in range(50))
    path = written(tmp_path, "e.csv", f"user,item,rating,time\n{lines}")
    with pytest.raises(BadSource, match=r"ratings up to 2,450.*--rating-max"):
        Read(path)
    assert max(e.value or 0 for e in Read(path, rating_max=2450).events) == 5.0


def test_single_outlier_does_not_make_a_scale(tmp_path):
    read = Read(written(tmp_path, "e.csv", ratings(rows=300) + f"u1,i1,50,{T}\n"))
    assert (read.tally.used, read.tally.bad) == (300, 1)
    assert "a rating above 5 in the column 'rating' (--rating-max)" in str(read.tally)


MISSING = ["nan", "NULL", "None", "NA", "\\N", "", "-1", "NaN", "null", "undefined", "<NA>", "n/a", "-1.0"]


@pytest.mark.parametrize("role", ["user", "item"])
def test_placeholder_ids_count_as_missing(tmp_path, role):
    lines = "".join(
        f"{word if role == 'user' else 'u1'},{'i1' if role == 'user' else word},5,{T}\n" for word in MISSING
    )
    path = written(tmp_path, "e.csv", f"user,item,rating,time\nu1,i1,5,{T}\n{lines}")
    read = Read(path)
    assert (read.tally.used, read.tally.bad) == (1, len(MISSING))
    assert "--keep-missing" in str(read.tally)
    assert f"the column '{role}'" in str(read.tally)
    assert "most rows are rejected" in read.warnings
    kept = Read(path, keep_missing=True)
    assert (kept.tally.used, kept.tally.bad) == (len(MISSING), 1), "an empty id is none"


def test_missing_numeric_ids_in_parquet_are_counted(tmp_path):
    table = pa.table(
        {"user_id": [1.0, float("nan"), None, 3e9], "item_id": [1, 2, 3, 4], "rating": [5] * 4, "ts": [T] * 4}
    )
    pq.write_table(table, tmp_path / "e.parquet")
    read = Read(tmp_path / "e.parquet")
    assert [(e.user, e.item) for e in read.events] == [("1", "1"), ("3000000000", "4")]
    assert read.tally.bad == 2


def test_whole_number_is_one_id_in_any_notation(tmp_path):
    read = Read(written(tmp_path, "e.csv", f"user,item,rating,time\n1,7.0,5,{T}\n1.0,7,5,{T + 1}\n01,7.50,5,{T + 2}\n"))
    assert [(e.user, e.item) for e in read.events] == [("1", "7"), ("1", "7"), ("01", "7.50")]
    assert "1 with the item written like 1.0, read as 1" in str(read.tally)


WORDS = {
    "view": "view", "addtocart": "cart", "transaction": "purchase", "pv": "view", "buy": "purchase", "fav": "like",
    "Add To Cart": "cart", "Product Viewed": "view", "Order Completed": "purchase", "PURCHASE": "purchase",
    "play": "click", "watch": "click", "add_to_cart": "cart", "thumbs_down": "dislike", "skip": "dismiss",
}  # fmt: skip


@pytest.mark.parametrize(("word", "kind"), WORDS.items())
def test_usual_names_of_kinds_are_known(tmp_path, word, kind):
    read = Read(written(tmp_path, "e.csv", f"visitorid,itemid,event,timestamp\n1,2,{word},{T}\n"))
    assert [e.kind.value for e in read.events] == [kind]
    assert read.guesses["event"] == f"kind: {word} -> {kind} (1)"


def test_unknown_kinds_error_names_the_option(tmp_path):
    path = written(tmp_path, "e.csv", f"user,item,event,time\nu,i,buy,{T}\nu,i,teleport,{T}\nu,i,,{T}\n")
    read = Read(path)
    assert (read.tally.used, read.tally.bad) == (1, 2)
    assert "--map-kind 'teleport=KIND'" in read.warnings
    assert "no kind in the column 'event'" in str(read.tally)
    mapped = Read(path, kinds={"teleport": EventKind.LIKE, "buy": None})
    assert [e.kind for e in mapped.events] == [EventKind.LIKE]
    assert "--map-kind ignores" in str(mapped.tally)
    with pytest.raises(BadSource, match=r"--map-kind 'teleport=KIND'.*--kind-column.*--kind"):
        Read(written(tmp_path, "n.csv", f"user,item,event,time\nu,i,teleport,{T}\n"))


def test_column_called_type_that_holds_no_kinds_gives_way_to_ratings(tmp_path):
    read = Read(written(tmp_path, "e.csv", f"user,item,type,rating,time\nu,i,hardback,5,{T}\n"))
    assert [(e.kind.value, e.value) for e in read.events] == [("rate", 5.0)]


def test_kind_and_event_id_can_be_set_for_all_rows(tmp_path):
    path = written(tmp_path, "e.csv", f"who,track,at,ref\nann,t1,{T},a\n")
    read = Read(path, user="who", item="track", time="at", id="ref", fixed=EventKind.LIKE, scene="radio")
    assert read.events == [Event(id="a", user="ann", kind=EventKind.LIKE, ts=T * 1000, item="t1", scene="radio")]


def test_rows_with_only_users_and_items_become_clicks_or_purchases_as_reported(tmp_path):
    clicks = Read(written(tmp_path, "c.csv", f"user,item,time\nu,i,{T}\n"))
    orders = Read(written(tmp_path, "o.csv", f"CustomerID,StockCode,InvoiceDate,Quantity\n17.0,i,{T},6\n"))
    assert (clicks.events[0].kind, orders.events[0].kind) == (EventKind.CLICK, EventKind.PURCHASE)
    assert orders.events[0].user == "17"
    assert "--kind sets another" in clicks.warnings
    assert "--rating-column" in clicks.warnings


def test_file_without_likes_is_reported(tmp_path):
    path = written(tmp_path, "e.csv", "user,item,rating,time\n" + "".join(f"u{n},i,{n % 2},{T}\n" for n in range(40)))
    with EventFile(path) as file:
        assert "nothing counts as a like" in file.report.warnings[0]
        assert "--rating-max" in file.report.warnings[0]
        with pytest.raises(BadSource, match="nothing counts as a like"):
            file.check(file.total)
        file.check(file.total, likes=False)
    assert not Read(path, rating_max=1).report.warnings


def test_dominant_user_and_rows_without_items_are_reported(tmp_path):
    lines = "".join(f"me,{'' if n % 2 else n},5,{T + n}\n" for n in range(60))
    read = Read(written(tmp_path, "e.csv", f"user,item,rating,time\n{lines}"))
    assert "one user has 30 of 30 rows" in read.warnings
    assert "--user-column" in read.warnings
    assert "30 of 60 rows have no item" in read.warnings
    assert "--item-column" in read.warnings


def test_events_with_items_missing_from_the_catalogue_are_counted(tmp_path):
    with EventFile(written(tmp_path, "e.csv", ratings())) as file:
        assert file.compare({"i0", "i1"}, tmp_path / "items.csv", file.tally) == 10
        assert "20 of 30 events" in file.report.warnings[0]
        assert "--items-id-column" in file.report.warnings[0]
        with pytest.raises(BadSource, match="--item-column"):
            file.check(0, tmp_path / "items.csv")


def test_event_ids_depend_on_the_row_and_not_on_its_file(tmp_path):
    monday, tuesday = tmp_path / "monday", tmp_path / "tuesday"
    monday.mkdir()
    tuesday.mkdir()
    first = Read(written(monday, "events.csv", ratings()))
    again = Read(written(monday, "again.tsv", ratings().replace(",", "\t")))
    second = Read(written(tuesday, "events.csv", ratings(time="1{0}")))
    assert [e.id for e in first.events] == [e.id for e in again.events]
    assert not {e.id for e in first.events} & {e.id for e in second.events}
    assert first.events[0].id == "b22f20a9ae9b347", "the id must never change: it is how a repeat is known"
    assert not {e.id for e in first.events} & {e.id for e in Read(monday / "events.csv", scene="home").events}


def test_duplicates_are_counted_and_each_has_an_id(tmp_path):
    path = written(tmp_path, "e.csv", ratings(rows=10) + ratings(rows=5).partition("\n")[2])
    read = Read(path)
    assert len({e.id for e in read.events}) == read.tally.used == 15
    assert "5 of them duplicates of an earlier row (--duplicates drop leaves them out)" in str(read.tally)
    dropped = Read(path, duplicates="drop")
    assert (dropped.tally.used, dropped.tally.dropped, dropped.tally.rows) == (10, 5, 15)


def test_limit_reads_the_first_rows_only(tmp_path):
    path = written(tmp_path, "e.csv", ratings(rows=100))
    assert [e.ts for e in Read(path, limit=7).events] == [(T + 3600 * n) * 1000 for n in range(7)]
    packed = written(tmp_path, "e.csv.gz", gzip.compress(ratings(rows=100).encode()))
    assert len(Read(packed, limit=7).events) == 7
    broken = written(tmp_path, "b.csv", ratings(rows=100) + 'u,i,5,1,2,3\nu1,"i\n')
    assert (Read(broken, limit=50).tally.used, Read(broken, limit=50).tally.bad) == (50, 0)


def test_events_are_sorted_by_time_or_keep_the_order_of_the_file(tmp_path):
    lines = "".join(f"u,i{n},5,{T + n % 3}\n" for n in range(9))
    with EventFile(written(tmp_path, "e.csv", f"user,item,rating,time\n{lines}")) as file:
        assert [e.item for e in file] == [f"i{n}" for n in range(9)]
        assert [e.item for e in file.by_time()] == ["i0", "i3", "i6", "i1", "i4", "i7", "i2", "i5", "i8"]
        assert [file.time_at(n) for n in (0, 3, 8)] == [T * 1000, (T + 1) * 1000, (T + 2) * 1000]


def test_files_without_headers_are_recognised_by_their_content(tmp_path):
    taobao = "".join(f"{n % 9 + 1},{n + 100},25,{('pv', 'buy', 'cart', 'fav')[n % 4]},{T + n}\n" for n in range(40))
    film = "".join(f"{n % 9 + 1}::{n + 100}::{n % 5 + 1}::{T + n}\n" for n in range(40))
    clicks = "".join(f"{n % 9 + 1},2014-04-07T10:51:{n:02}.277Z,{n + 214536500},0\n" for n in range(40))
    shop = Read(written(tmp_path, "t.csv", taobao))
    assert [(e.user, e.item, e.kind.value) for e in shop.events[:2]] == [("1", "100", "view"), ("2", "101", "purchase")]
    films = Read(written(tmp_path, "f.dat", film))
    assert [(e.user, e.item, e.value, e.ts) for e in films.events[:1]] == [("1", "100", 1.0, T * 1000)]
    assert films.guesses["delimiter"] == "::"
    assert films.guesses["first line"] == "a row"
    session = Read(written(tmp_path, "c.dat", clicks))
    assert [(e.user, e.item, e.ts) for e in session.events[:1]] == [("1", "214536500", 1396867860277)]
    assert len(shop.events) == len(films.events) == len(session.events) == 40
    named = Read(written(tmp_path, "n.csv", taobao), text=Asked(header=False), user="2", item="1", time="5", kind="4")
    assert named.events[0].user == "100"


def test_report_never_quotes_values_of_the_file(tmp_path):
    lines = f"secret-1,i,99,{T}\nnan,i,3,{T}\nsecret-2,i\nsecret-3,{{1}},3,{T}\nsecret-4,i,3,yesterday\nann,i,3,{T}\n"
    read = Read(written(tmp_path, "e.csv", f"user,item,rating,time\n{lines}"), rating_max=5)
    assert (read.tally.used, read.tally.bad) == (1, 5)
    output = f"{read.tally} {read.report}"
    assert "secret" not in output
    assert "yesterday" not in output
    assert "row 3" not in str(read.tally).partition("fewer")[0]
