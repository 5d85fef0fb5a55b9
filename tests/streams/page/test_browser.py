"""The page in Chromium, of a worker on a broker: hostile texts, motion, other users, incognito and search."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from rocksdict import AccessType, Options, Rdict

from deploy.local.brokers import Broker
from schemas.codec import decode, encode
from schemas.events import Event, EventKind
from schemas.items import Item
from schemas.shown import shown_in_line
from schemas.topics import ALL, CONTEXTS, EVENTS, MODEL_ACKS
from streams.clock import SYSTEM
from streams.state.store import _META as META
from streams.state.store import Facts
from tests.conftest import start_broker
from tests.support.browser import Tab, browser
from tests.support.patience import PATIENCE
from tests.support.pipeline import Pipeline, films
from tests.support.workers import WITHOUT_MODEL

pytestmark = [pytest.mark.browser, pytest.mark.kafka, pytest.mark.slow]

HOSTILE = "<img src=x onerror=alert(1)>\u202e & <b>\U0001f9a6</b>"

FAINT = """(() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => {
    const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [x, y, z] = [r, g, b].map((part) => linear(part / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const paper = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = numbers(getComputedStyle(each).backgroundColor);
      if ((colour[3] ?? 1) === 1) return luminance(colour);
    }
  };
  const faint = [];
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.closest("noscript, dialog:not([open])")) continue;
    const [low, high] = [luminance(numbers(getComputedStyle(element).color)), paper(element)].sort((a, b) => a - b);
    if ((high + 0.05) / (low + 0.05) < 4.5) faint.push(element.textContent.trim());
  }
  return faint;
})()"""

SMALL = """[...document.querySelectorAll("button, input")].filter((one) => one.checkVisibility())
  .filter((one) => Math.min(one.offsetWidth, one.offsetHeight) < 24).map((one) => one.textContent)"""

NAMELESS = """[...document.querySelectorAll("button, input")].filter((one) =>
  !(one.getAttribute("aria-label") ?? one.textContent.trim()) && !one.labels?.length).map((one) => one.outerHTML)"""

TITLES = "[...document.querySelectorAll('#list h2')].map((one) => one.textContent)"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A worker without a model that serves the page, with a catalogue and a few users."""
    embedded: Broker = start_broker("embedded", tmp_path_factory)
    settings = {"triton": "", "web_page": "on", "exploration": "0", "new_item_share": "0", "compared_users": 1}
    with embedded, Pipeline(embedded, tmp_path_factory.mktemp("page"), **settings) as pipeline:
        asyncio.run(pipeline.prepare([*films(), Item(id="hostile", title=HOSTILE, attributes=(HOSTILE[:40],))]))
        pipeline.start(WITHOUT_MODEL)
        asyncio.run(users_like(pipeline))
        pipeline.worker.until_metric("ouzel_counted_events_total", 60)
        yield pipeline


async def users_like(pipeline: Pipeline) -> None:
    now = SYSTEM.now_ms()
    events = [
        Event(id=f"{user}-{n}", user=f"user-{user}", kind=EventKind.LIKE, item=f"film-{(5 * n + user) % 40}", ts=now)
        for user in range(12)
        for n in range(5)
    ]
    await pipeline.send(EVENTS, [(event.user, encode(event)) for event in events])


def address(page: Pipeline) -> str:
    return f"http://127.0.0.1:{page.settings.web.port}/"


async def check(tab: Tab, what: str) -> None:
    """Nothing is wider than the window, faint, too small to touch, or without a name."""
    assert await tab.run("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0, what
    assert await tab.run(FAINT) == [], what
    assert await tab.run(SMALL) == [], what
    assert await tab.run(NAMELESS) == [], what
    assert tab.errors == [], what


async def reflects(tab: Tab, words: str) -> None:
    said = json.dumps(words)
    await tab.until(f"document.getElementById('reflects').textContent.includes({said})", f"the list reflects {words}")


async def ask_why(tab: Tab, liked: str) -> None:
    """Ask why the first entry is there, of a user whose last like is `liked`."""
    await tab.click("#list li:nth-child(1) [data-act=why]")
    await tab.until("document.querySelectorAll('.why:not([hidden]) tbody tr').length > 0", "the contributions")
    await tab.until("document.querySelector('.cause') !== null", "the sentence")
    assert "Of your last 4 events, your like of" in await tab.run("document.querySelector('.cause').textContent")
    rows = "[...document.querySelectorAll('.causes tbody tr')].map((one) => one.textContent)"
    assert any(row.startswith(f"liked {liked}") for row in await tab.run(rows))


async def test_visitor_gets_a_list_that_follows_what_they_do(page: Pipeline, tmp_path: Path) -> None:
    async with browser(tmp_path) as tab:
        await tab.look(width=1280, dark=False, calm=False)
        await tab.go(address(page))
        await tab.until("document.querySelectorAll('.pick').length >= 18", "things to like")
        await check(tab, "the start")
        for place in (1, 2, 3):
            assert await tab.run("document.getElementById('begin').disabled")
            await tab.click(f"#picks li:nth-child({place}) button")
        last = await tab.run("document.querySelector('#picks li:nth-child(3) .title').textContent")
        await tab.click("#begin")
        await reflects(tab, f"your like of {last}")  # a list before it may answer the first of the three
        assert len(await tab.until(f"{TITLES}.length && {TITLES}", "a list")) == 10

        liked = (await tab.run(TITLES))[1]
        await tab.click("#list li:nth-child(2) [data-act=like]")
        await reflects(tab, f"your like of {liked}")
        assert liked not in await tab.run(TITLES)
        assert f"Left the list: {liked}" in await tab.run("document.getElementById('left').textContent")
        assert await tab.run("document.querySelectorAll('.moved.entered').length") > 0
        assert "entered" in await tab.run("document.getElementById('said').textContent")

        dismissed = (await tab.run(TITLES))[0]
        await tab.click("#list li:nth-child(1) [data-act=dismiss]")
        await reflects(tab, f"your dismissal of {dismissed}")
        assert dismissed not in await tab.run(TITLES)
        await tab.click("#done li:nth-child(1) button")
        await reflects(tab, "the event that you withdrew")
        assert dismissed in await tab.run(TITLES), "the list reverts"
        assert await tab.run("document.querySelectorAll('.withdrawn').length") == 1

        await ask_why(tab, liked)
        await check(tab, "a list with reasons")

        await tab.click("#wish-text")
        await tab.write(HOSTILE)
        await tab.click("#wish button")
        await reflects(tab, "your wish")
        assert await tab.run("document.querySelector('.chip .said').textContent") == shown_in_line(HOSTILE)
        assert "has not read it yet" in await tab.run("document.querySelector('.chip .tags').textContent")  # no model
        await check(tab, "a list with a wish")
        await tab.click(".chip button")
        await reflects(tab, "the event that you withdrew")
        await tab.until("document.getElementById('wishes').hidden", "no wish any more")

        await tab.go(address(page))
        await tab.until("document.querySelectorAll('.entry').length === 10", "the same list after loading again")
        await tab.click("#erase")
        await tab.click("#go")
        await tab.until("!document.getElementById('start').hidden", "the start again")
        await check(tab, "the start after erasure")
        page.worker.until_metric("ouzel_erased_people_total", 1)
    kinds = {decode(Event, record.value).kind for record in await page.records(EVENTS.name)}
    assert {EventKind.LIKE, EventKind.DISMISS, EventKind.FORGET, EventKind.ERASE} <= kinds


async def until_focus(tab: Tab, tag: str, name: str) -> None:
    """Press Tab until an element with this tag has the keyboard, whose name contains `name`."""
    for _ in range(60):
        await tab.press("Tab")
        found, said, _ = await tab.focus()
        if found == tag and name in said:
            return
    raise AssertionError(f"Tab does not reach {tag} {name}")


async def test_visitor_watches_a_user_and_continues_as_a_copy(page: Pipeline, tmp_path: Path) -> None:
    async with browser(tmp_path) as tab:
        await tab.look()
        await tab.go(address(page))
        await tab.until("document.querySelectorAll('.pick').length >= 18", "things to like")
        now = SYSTEM.now_ms()
        like = Event(id=f"now-{now}", user="user-1", kind=EventKind.LIKE, item="hostile", ts=now)
        await page.send(EVENTS, [("user-1", encode(like))])
        await tab.click(".user")
        await tab.until(f"{TITLES}.length === 10", "the user's list")
        assert await tab.run("document.querySelectorAll('#list [data-act=like]').length") == 0, "no acts for others"
        shown = await tab.until("document.querySelector('#done bdi')?.textContent", "what the user did")
        assert shown == HOSTILE.replace("\u202e", "\\u202e")
        assert await tab.run("document.querySelectorAll('main img, aside img, main b, aside b').length") == 0
        await tab.click("#copy")
        await reflects(tab, "your like of")
        assert await tab.run("document.querySelectorAll('#done li').length") == 6
        await tab.click("#pause")
        assert await tab.run("document.getElementById('pause').textContent") == "Go on"
        await check(tab, "a copy's list")


Durable = dict[str, object]


async def durable(page: Pipeline) -> Durable:
    """Everything that lasts: every record with its place, and every key of the worker's state with its value.

    Left out is what workers write as time passes: their acknowledgements, and when the state was written last.
    """
    found: Durable = {}
    for topic in ALL:
        for record in await page.records(topic.name) if topic is not MODEL_ACKS else ():
            found[f"{topic.name} {record.partition} {record.offset}"] = (record.key, record.value, record.timestamp)
    for folder in sorted(page.settings.state.dir.glob(f"*/{CONTEXTS.name}-*")):
        store = Rdict(str(folder), Options(raw_mode=True), access_type=AccessType.read_only())
        found |= {f"{folder.name} {key!r}": value for key, value in store.items()}
        meta = store[META]
        assert meta is not None
        facts = msgspec.msgpack.decode(meta, type=Facts)
        found[f"{folder.name} {META!r}"] = msgspec.structs.replace(facts, written_ms=0)
        store.close()
    assert sum(name.startswith(CONTEXTS.name) for name in found) > 2 * 12, "contexts and open lists of the users"
    return found


async def settled(page: Pipeline) -> Durable:
    """The same, once the worker has written everything that is under way."""
    deadline, before = time.monotonic() + PATIENCE, await durable(page)
    while (now := await durable(page)) != before:
        assert time.monotonic() < deadline, "the worker does not come to rest"
        before = now
    return now


COUNTED = ("ouzel_events_total", "ouzel_lists_total", "ouzel_judged_likes_total", "ouzel_list_hits_total")


def counted(page: Pipeline) -> list[list[float]]:
    found = [page.worker.series(name) for name in (*COUNTED, "ouzel_feedback_total", "ouzel_page_events_total")]
    assert all(found), found
    return found


async def test_incognito_visitor_gets_lists_and_leaves_nothing_behind(page: Pipeline, tmp_path: Path) -> None:
    before, figures = await settled(page), counted(page)
    async with browser(tmp_path) as tab:
        await tab.look(calm=True)
        await tab.go(address(page))
        await act_incognito(tab)
        await come_back_incognito(tab, page)
    assert sum(page.worker.series("ouzel_one_off_lists_total")) == 7
    assert await settled(page) == before
    assert counted(page) == figures
    assert "incognito visitor" not in page.log()


async def act_incognito(tab: Tab) -> None:
    """Start incognito, and do what a visitor can."""
    await tab.until("document.querySelectorAll('.pick').length >= 18", "things to like")
    await tab.click(".incognito label")
    for place in (1, 2, 3):
        await tab.click(f"#picks li:nth-child({place}) button")
    last = await tab.run("document.querySelector('#picks li:nth-child(3) .title').textContent")
    await tab.click("#begin")
    await reflects(tab, f"your like of {last}")
    assert await tab.run("document.getElementById('view-title').textContent") == "Your list, incognito"
    assert len(await tab.run(TITLES)) == 10

    liked = (await tab.run(TITLES))[1]
    await tab.click("#list li:nth-child(2) [data-act=like]")
    await reflects(tab, f"your like of {liked}")
    assert f"Left the list: {liked}" in await tab.run("document.getElementById('left').textContent")
    assert await tab.run("document.querySelectorAll('.moved.entered').length") > 0

    dismissed = (await tab.run(TITLES))[0]
    await tab.click("#list li:nth-child(1) [data-act=dismiss]")
    await reflects(tab, f"your dismissal of {dismissed}")
    assert dismissed not in await tab.run(TITLES)
    await tab.click("#done li:nth-child(1) button")
    await reflects(tab, "the event that you withdrew")
    assert dismissed in await tab.run(TITLES), "the list reverts"

    await tab.click("#list li:nth-child(1) [data-act=why]")
    await tab.until("document.querySelectorAll('.why:not([hidden]) tbody tr').length > 0", "the contributions")
    await tab.click("#wish-text")
    await tab.write("something only an incognito visitor says")
    await tab.click("#wish button")
    await reflects(tab, "your wish")
    await check(tab, "a list, incognito")
    await tab.click(".chip button")
    await tab.until("document.getElementById('wishes').hidden", "no wish any more")
    assert await tab.run("document.querySelectorAll('#erase-line:not([hidden]), #feed .event, #feed .out').length") == 0

    await tab.click("#again")
    await tab.until("!document.getElementById('start').hidden", "the start again")
    await tab.until("document.getElementById('said').textContent.includes('is erased')", "it is erased")


async def come_back_incognito(tab: Tab, page: Pipeline) -> None:
    """Start incognito with a wish, and load the page again."""
    await tab.click("#start-wish-text")
    await tab.write("something funny")
    if not await tab.run("document.getElementById('incognito').checked"):
        await tab.click(".incognito label")
    await tab.click("#start-wish button")
    await tab.until(f"{TITLES}.length === 10", "a list of a wish alone")
    page.worker.until_metric("ouzel_page_incognito", 1)
    await tab.go(address(page))
    await tab.until("!document.getElementById('start').hidden", "the page forgets the visitor")
    assert await tab.run("sessionStorage.length") == 0
    assert tab.errors == []
    deadline = time.monotonic() + PATIENCE
    while page.worker.metric("ouzel_page_incognito"):
        assert time.monotonic() < deadline, "a page that is loaded again erases its session"


RESULTS = "[...document.querySelectorAll('#results h3')].map((one) => one.textContent)"


async def test_visitor_searches_and_acts_on_what_is_found(page: Pipeline, tmp_path: Path) -> None:
    async with browser(tmp_path) as tab:
        await tab.look(width=390, dark=True, calm=True)
        await tab.go(address(page))
        await tab.until("document.querySelectorAll('.pick').length >= 18", "things to like")
        for place in (1, 2, 3):
            await tab.click(f"#picks li:nth-child({place}) button")
        await tab.click("#begin")
        await tab.until(f"{TITLES}.length === 10", "a list")
        await tab.click("#search-text")
        await tab.write("wéstern 3")
        await tab.until(f"{RESULTS}.length === 3", "the westerns of number 3, 33 and 38")
        assert "3 items match" in await tab.run("document.getElementById('found').textContent")
        await check(tab, "results")
        (found, *_) = await tab.run(RESULTS)
        await tab.click("#results li:nth-child(1) [data-act=like]")
        await reflects(tab, f"your like of {found}")
        seen = f"""[...document.querySelectorAll('#results li')].some((one) =>
          one.querySelector('h3').textContent === {json.dumps(found)} && one.querySelector('.seen'))"""
        await tab.until(seen, "what was liked is marked, not hidden")

        await tab.press("Tab")  # the focus is on the result that was liked
        await until_focus(tab, "BUTTON", "a result")
        name = (await tab.focus())[1]
        await tab.press("Enter")
        await reflects(tab, name.split(" ", 1)[1].removesuffix(", a result"))

        await tab.run("document.getElementById('search-text').focus()")
        await tab.press("Escape")
        await tab.until("document.getElementById('results-box').hidden", "no results any more")
        await tab.write("onerr")
        assert await tab.until(f"{RESULTS}.length && {RESULTS}", "the hostile title") == [shown_in_line(HOSTILE)]
        assert await tab.run("document.querySelectorAll('main img, main b').length") == 0
        await tab.press("Escape")
        await tab.write("nothing of the kind")
        await tab.until("document.getElementById('found').textContent.startsWith('Nothing')", "it says so")
        assert tab.errors == []
