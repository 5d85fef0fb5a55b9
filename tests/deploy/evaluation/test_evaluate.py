"""The evaluation as a whole: the data, every method under both protocols, and the report."""

import gzip
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from deploy.cli import cli
from deploy.datasets import movielens
from deploy.datasets.dataset import Dataset, films, from_files, likes
from deploy.errors import BadSource, MissingPart, SeenBefore
from deploy.evaluation.evaluate import Options, evaluate
from deploy.evaluation.jobs import Job, judge
from deploy.files.sources import EventColumns, ItemColumns
from inference.evaluation.console_report import tables
from inference.evaluation.html_report import page
from inference.evaluation.intervals import ONE_USER
from inference.evaluation.metrics import About, summary
from schemas.events import Event, EventKind
from schemas.items import Item
from tests.support import parts, synthetic

EVENTS = EventColumns(
    user="who", item="what", time="when", kind="did", kinds={"bought": EventKind.PURCHASE, "looked": EventKind.VIEW}
)
ITEMS = ItemColumns(item="what")


@pytest.fixture
def movies() -> Dataset:
    try:
        return films()
    except MissingPart as missing:
        parts.need(False, str(missing))
        raise


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return from_files(*synthetic.write(tmp_path_factory.mktemp("shelf")), EVENTS, ITEMS)


@pytest.fixture(scope="module")
def judged(shelf, tmp_path_factory):
    """A report of both protocols over two orders of ties, and where it was written."""
    folder = tmp_path_factory.mktemp("report")
    learner = synthetic.CountingLearner()
    console = Console(width=100, record=True, file=(folder / "screen.txt").open("w"))
    options = Options(seeds=2, processes=1, parts=10)
    report = evaluate(shelf, options, learner=learner, json=folder / "r.json", html=folder / "r.html", console=console)
    console.file.close()
    return report, folder, learner


def test_films_and_ratings_are_complete(movies):
    names = {film.id: film for film in movies.items}
    assert (len(names), len(movies.events), len({event.user for event in movies.events})) == (1682, 100_000, 943)
    assert names["1"].title == "Toy Story (1995)"
    assert names["1"].attributes == ("Animation", "Children's", "Comedy")
    assert {event.item for event in movies.events} <= names.keys()
    assert sum(map(likes, movies.events)) == 55_375
    assert movies.stream(1) == movielens.events(1)


def test_seed_changes_only_the_order_of_ties(movies):
    one, again, other = movies.stream(0), movies.stream(0), movies.stream(1)
    assert one == again
    assert one != other
    assert {event.id: event for event in one} == {event.id: event for event in other}
    for events in (one, other):
        assert all(a.ts <= b.ts for a, b in pairwise(events))


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(movielens, "PACKAGE", "no-such-package")
    with pytest.raises(MissingPart, match="pip install --no-deps recbole"):
        films()


def test_files_of_ones_own_are_read_whatever_their_make(shelf, tmp_path):
    events, items = synthetic.write(tmp_path)
    packed = tmp_path / "people.csv.gz"
    packed.write_bytes(gzip.compress(events.read_bytes()))
    rows = [row.split(",") for row in events.read_text().splitlines()[1:]]
    lines = tmp_path / "people.jsonl"
    lines.write_text("".join(json.dumps({"who": a, "what": b, "when": int(c), "did": d}) + "\n" for a, b, c, d in rows))
    for path in (packed, lines):
        found = from_files(path, items, EVENTS, ITEMS)
        assert [(e.user, e.item, e.ts, e.kind) for e in found.events] == [
            (e.user, e.item, e.ts, e.kind) for e in shelf.events
        ]
    assert "1,080 of 1,080 purchase, 0 of 180 view" in shelf.note


def test_events_of_unknown_items_are_left_out_and_counted(tmp_path):
    events, items = synthetic.write(tmp_path)
    items.write_text("what,title\ns0-0,The only one\n")
    found = from_files(events, items, EVENTS, ITEMS)
    assert {event.item for event in found.events} == {"s0-0"}
    assert f"{1260 - len(found.events):,} of them on items that are not in the catalogue" in found.note
    items.write_text("what,title\nother,Another\n")
    with pytest.raises(BadSource, match="--items-id-column"):
        from_files(events, items, EVENTS, ITEMS)
    alone = from_files(events, None, EVENTS)
    assert {item.title for item in alone.items} == {event.item for event in alone.events}


def test_report_has_its_shape_in_both_protocols(judged):
    report, folder, _ = judged
    assert json.loads((folder / "r.json").read_text()) == report
    assert list(report["protocols"]) == ["prequential", "leave_last_out"]
    for name, found in report["protocols"].items():
        methods = {"popularity", "popularity_14_days", "markov", "item_knn", "sasrec", "scorer"}
        assert methods | {"ouzel", "ouzel_without_model"} == found["methods"].keys()
        assert "met_long" in found["signals"]
        assert found["seeds"] == len(found["tests"]) == 2
        assert found["against"].keys() == found["methods"].keys() - {"ouzel"}
        for figures in found["methods"].values():
            for metric in ("hr10", "ndcg10"):
                low, high = figures[metric]["low"], figures[metric]["high"]
                assert (low is None) == (high is None) == ("no_interval" in figures[metric])
                assert low is None or low <= figures[metric]["mean"] <= high
        for against in found["against"].values():
            assert against["low"] == against["hr10"]["low"]
            assert against["low"] is None or against["low"] <= against["hr10"]["mean"] <= against["hr10"]["high"]
        for one in ("scorer", "ouzel"):
            assert found["methods"][one]["tokens_a_list"] == 5.0
        buckets = found["by_history"].values()
        assert sum(bucket["ouzel"]["tests"] for bucket in buckets) == sum(found["tests"])
        assert found["methods"]["ouzel"]["by_history"]["0-2"] == found["by_history"]["0-2"]["ouzel"]
        recall = list(found["recall"]["scorer"].values())
        assert recall == sorted(recall)
        assert recall[0] == pytest.approx(found["methods"]["scorer"]["hr10"]["mean"], abs=0.01)
        assert len(found["retrained_at"]) == (9 if name == "prequential" else 1)


def test_models_learn_a_learnable_order(judged):
    """After a part of a series comes the next: all that count pairs know it, and popularity does not."""
    report, _, _ = judged
    for found in report["protocols"].values():
        hits = {name: figures["hr10"]["mean"] for name, figures in found["methods"].items()}
        assert hits["popularity"] < 0.5
        assert hits["markov"] > 0.7
        assert hits["ouzel_without_model"] > 0.7
        assert hits["scorer"] > 0.7


def test_models_are_trained_on_the_past_only_and_once_for_all_orders(judged, shelf):
    report, _, learner = judged
    total = len(shelf.events)
    for kind in ("scorer", "sasrec"):
        walked = [cut for what, which, cut in learner.trained if (what, which) == ("walk", kind)]
        assert [point["event"] for point in report["protocols"]["prequential"]["retrained_at"]] == walked
        assert walked == sorted(set(walked))
        stream = shelf.stream(0)
        assert all(stream[cut - 1].ts < stream[cut].ts for cut in walked)
        assert all(abs(cut - total * part / 10) < 20 for part, cut in enumerate(walked, start=1))
        assert [what for what, which, _ in learner.trained if which == kind].count("hold_out") == 1


def test_screen_and_page_have_the_same_figures(judged):
    report, folder, _ = judged
    screen = (folder / "screen.txt").read_text()
    assert max(map(len, screen.splitlines())) <= 100
    shown = (folder / "r.html").read_text()
    for found in report["protocols"].values():
        for name, figures in found["methods"].items():
            for text in (name, f"{figures['hr10']['mean']:.4f}", f"{figures['ndcg10']['mean']:.4f}"):
                assert text in screen
                assert text in shown


class Checker(HTMLParser):
    """Every element that is opened is closed, and nothing comes from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "link", "img", "iframe"}
        assert not {"src", "href", "onload"} & {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()


def test_page_is_self_contained(judged):
    _, folder, _ = judged
    shown = (folder / "r.html").read_text()
    checker = Checker()
    checker.feed(shown)
    assert checker.open == []
    assert shown.count("<svg") >= 12
    assert not re.search(r"url\(|@import|https?:", shown)
    assert "nan" not in shown.lower().split()


def test_titles_and_names_cannot_change_the_page(judged):
    report, _, _ = judged
    changed = json.loads(json.dumps(report).replace("item_knn", "<script>x</script>"))
    changed["data"] = "<b>bold</b> & more"
    shown = page(changed)
    assert "<script" not in shown
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; more" in shown


def test_report_without_tests_or_models_can_still_be_shown(shelf):
    report = evaluate(shelf, Options(seeds=1, model=False, sasrec=False, limit=300, protocols=("prequential",)))
    found = report["protocols"]["prequential"]
    assert "ouzel" not in found["methods"]
    assert found["against"].keys() == found["methods"].keys() - {"ouzel_without_model"}
    assert found["retrained_at"] == []
    assert summary([], About(rule="r"))["methods"] == {}
    empty = evaluate(shelf, Options(seeds=1, model=False, sasrec=False, limit=1, protocols=("prequential",)))
    for one in (report, empty):
        assert page(one)
        assert list(tables(one))


@pytest.mark.slow
def of_one_user(count: int) -> Dataset:
    """Only one user acts, and likes the items of a shelf in order."""
    events = tuple(
        Event(id=f"e{n}", user="ann", item=f"i{n}", kind=EventKind.LIKE, ts=1_600_000_000_000 + 60_000 * n)
        for n in range(count)
    )
    return Dataset(tuple(Item(id=f"i{n}", title=f"i{n}") for n in range(count)), events, "one user")


def test_where_nothing_tells_items_apart_every_ranking_is_at_chance():
    """A catalogue made from the events stands in the order in which it is met: to go by it would tell the future."""
    options = Options(seeds=3, protocols=("prequential",), processes=1, model=False, sasrec=False)
    methods = evaluate(of_one_user(600), options)["protocols"]["prequential"]["methods"]
    chance = 0.05  # the mean of 10 / n where n falls from 480 to 1
    for name, figures in methods.items():
        if name != "markov":
            assert figures["hr10"]["mean"] < 4 * chance, name


def test_where_there_is_one_user_there_is_no_interval_and_screen_page_and_json_say_so(tmp_path):
    options = Options(seeds=1, protocols=("prequential",), processes=1, model=False, sasrec=False)
    written = io.StringIO()
    out = Console(file=written, width=100)
    json_file, page_file = tmp_path / "r.json", tmp_path / "r.html"
    evaluate(of_one_user(400), options, json=json_file, html=page_file, console=out)
    found = json.loads(json_file.read_text())["protocols"]["prequential"]
    told = [found["methods"]["popularity"]["hr10"], found["against"]["popularity"]["ndcg10"]]
    for figures in told:
        assert (figures["low"], figures["high"], figures["no_interval"]) == (None, None, ONE_USER)
    screen = " ".join(written.getvalue().split())
    assert "No 95% interval for ouzel_without_model, popularity" in screen
    assert "all tests are from one user" in screen
    page = page_file.read_text()
    assert ONE_USER in page
    assert "no interval</text>" in page
    assert 'class="whisker"' not in page


def test_in_a_shop_a_purchase_after_a_view_is_a_test_and_lists_show_what_was_viewed(tmp_path):
    """Everybody views an item and then buys it: where a view counts, nothing is left to be tested."""
    rows = [
        (
            f"u{n % 40}",
            f"i{(n // 40 + 3 * n) % 60}",
            1_600_000_000 + 600 * n + 60 * bought,
            ("view", "purchase")[bought],
        )
        for n in range(1_200)
        for bought in (0, 1)
    ]
    lines = [",".join(map(str, row)) for row in sorted(rows, key=lambda row: row[2])]
    lines += lines[-1:]  # there twice
    (tmp_path / "shop.csv").write_text("\n".join(["user_id,item_id,timestamp,event", *lines]) + "\n")
    found = {}
    for kinds in ("all", "purchase"):
        json_file = tmp_path / f"{kinds}.json"
        told = CliRunner().invoke(
            cli,
            [
                *("evaluate", "--events", str(tmp_path / "shop.csv"), "--without-model", "--seeds", "1"),
                *("--protocols", "prequential", "--json", str(json_file), "--seen-kinds", kinds),
            ],
        )
        assert told.exit_code == 0, told.output
        found[kinds] = json.loads(json_file.read_text())
        assert "1 events have the user, item, kind, value and time of another" in " ".join(told.output.split())
        assert "of items already seen" in " ".join(told.output.split())
    everything, purchases = (found[kinds]["protocols"]["prequential"] for kinds in ("all", "purchase"))
    assert everything["tests"] == [0]
    assert everything["left_out"]["seen"][0] > 900
    assert purchases["tests"][0] > 150
    assert purchases["methods"]["ouzel_without_model"]["hr10"]["mean"] > 0.5, "what was viewed is on the lists"
    assert found["purchase"]["duplicates"] == 1


def test_in_other_processes_the_figures_are_the_same(shelf, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[3])  # the children are sent a class of these tests
    options = Options(seeds=2, protocols=("leave_last_out",), limit=500, parts=4, sasrec=False)
    one, two = (
        evaluate(shelf, replace(options, processes=processes), learner=synthetic.CountingLearner())["protocols"][
            "leave_last_out"
        ]["methods"]
        for processes in (1, 2)
    )
    for found in (one, two):
        for figures in found.values():
            del figures["ms_a_list"]
    assert one == two


def test_core_sees_no_later_event(shelf):
    """The places of the tests before a point are the same whatever comes after it."""
    stream = shelf.stream(0)[:400]
    other = (*stream[:300], *reversed(stream[300:]))
    rows = []
    for events in (stream, other):
        job = Job(0, "prequential", shelf.items, events, {}, Options().settings, Options().counting)
        outcome = judge(job)
        until = sum(test.at < 300 for test in outcome.tests)
        assert until > 20
        rows.append(outcome.row("ouzel_without_model")[:until])
    assert rows[0] == rows[1]


def test_command_takes_files_and_columns(tmp_path):
    events, items = synthetic.write(tmp_path)
    told = tmp_path / "r.json"
    columns = "--user-column who --item-column what --time-column when --kind-column did"
    kinds = "--map-kind bought=purchase --map-kind looked=view"
    wanted = f"{columns} {kinds} --without-model --no-sasrec --seeds 1 --protocols prequential".split()
    done = CliRunner().invoke(
        cli, ["evaluate", "--events", str(events), "--items", str(items), "--json", str(told), *wanted]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(told.read_text())["items"] == synthetic.SERIES * synthetic.PARTS
    refused = CliRunner().invoke(cli, ["evaluate", "--protocols", "hindsight"])
    assert "prequential, leave_last_out" in refused.output
    idle = CliRunner().invoke(cli, ["evaluate", "--start", "packaged", "--without-model"])
    assert idle.exit_code == 2
    assert "--without-model has none" in idle.output


def test_command_refuses_an_adapter_that_may_have_seen_the_events(movies):
    refused = CliRunner().invoke(cli, ["evaluate", "--start", "packaged", "--limit", "2000"])
    assert isinstance(refused.exception, SeenBefore)
    assert "it learned from the same items, before 1998-03-07" in str(refused.exception)


@pytest.mark.slow
def test_on_a_slice_the_blend_beats_each_of_its_signals_and_the_simple_methods(movies):
    options = Options(seeds=1, model=False, sasrec=False, limit=16_000, protocols=("prequential",))
    found = evaluate(movies, options)["protocols"]["prequential"]
    assert found["tests"][0] > 1500
    others = [*found["signals"].values(), *found["methods"].values()]
    for metric in ("hr10", "ndcg10"):
        ours = found["methods"]["ouzel_without_model"][metric]["mean"]
        assert ours >= max(other[metric]["mean"] for other in others)
