"""`ouzel ask` prints the lists of the real API, and says in one sentence what is wrong."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
from click.testing import CliRunner, Result

from deploy.api.client import MAX_ANSWER_BYTES, place_of, recommendations
from deploy.cli import cli
from deploy.errors import DeployError
from inference.scorers.scripted import ScriptedScorer
from schemas.items import Item
from streams.secret import Secret
from tests.deploy.test_shown import HOSTILE, check
from tests.support.api import ApiWorld, api_world
from tests.support.pages import TOKEN
from tests.support.patience import PATIENCE

OTHER = "another-token-of-a-worker"


async def ask(world: ApiWorld, *arguments: str, stdin: str | None = None) -> Result:
    """What the command prints, run beside the server."""
    url = str(world.client.make_url("/"))
    command = ["ask", *arguments, "--url", url]
    return await asyncio.to_thread(CliRunner().invoke, cli, command, input=stdin, env={"COLUMNS": "160"})


def message(result: Result) -> str:
    assert isinstance(result.exception, DeployError), result.output
    text = str(result.exception)
    assert "\n" not in text
    return text


async def test_list_is_printed_with_titles_and_reasons() -> None:
    async with api_world(ScriptedScorer()) as world:
        await world.did("ann", "film-1", "film-6")
        told = await world.get("/v1/recommendations/ann")
        result = await ask(world, "ann")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["place", "title", "score", "reason"]
    for place, (line, entry) in enumerate(zip(lines[1:], told["entries"], strict=False), start=1):
        assert line.split()[0] == str(place)
        assert entry["title"] in line
        assert f"{entry['score']:z.3f}" in line
        assert entry["reason"]["text"] in line
    assert lines[11] == ""
    assert lines[12].startswith(f"version {told['model_version']}; published, list {told['id']}; scene default; 20")
    assert len(lines) == 13


async def test_options_reach_the_worker() -> None:
    async with api_world() as world:
        await world.did("a/b ?", "film-1")
        result = await ask(world, "a/b ?", "--scene", "cart & more", "--count", "3")
        lines = result.stdout.splitlines()
        assert len(lines) == 1 + 3 + 1 + 2, result.output
        assert "no version of the model; made for this request; scene cart & more" in lines[5]
        assert "degraded (disabled)" in lines[6]
        from_stdin = await ask(world, "-", stdin="a/b ?\n")
        assert "published, list" in from_stdin.stdout


async def test_user_who_is_not_known_is_told() -> None:
    async with api_world() as world:
        assert "it is the list of someone new" in (await ask(world, "new")).stdout


async def test_json_is_what_the_api_sends() -> None:
    async with api_world() as world:
        await world.did("ann", "film-1")
        world.catalogue.add(Item(id=world.bench.made("ann")[-1].entries[1].item, title=HOSTILE))
        told = await world.get("/v1/recommendations/ann")
        result = await ask(world, "ann", "--json")
    assert json.loads(result.stdout) == told
    assert told["entries"][1]["title"] == HOSTILE
    check(result.stdout)


async def test_hostile_titles_are_shown_as_text() -> None:
    async with api_world() as world:
        for number in range(40):
            world.catalogue.withdraw(f"film-{number}")
            world.catalogue.add(Item(id=f"film-{number}", title=f"{HOSTILE}\n{number}"))
        result = await ask(world, "new", "--count", "2")
    check(result.stdout)
    assert "\\x1b]0;pwned" in result.stdout
    assert "[bold]x[/]" in result.stdout
    assert result.stdout.splitlines()[2].split()[0] == "2"


async def test_empty_list_says_so() -> None:
    async with api_world() as world:
        for number in range(40):
            world.catalogue.withdraw(f"film-{number}")
        assert "The list is empty" in (await ask(world, "new")).stdout


async def test_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with api_world(token=TOKEN) as world:
        assert "needs a token: set OUZEL_WEB_TOKEN" in message(await ask(world, "ann"))
        monkeypatch.setenv("OUZEL_WEB_TOKEN", OTHER)
        refused = message(await ask(world, "ann"))
        assert "refuses the token in OUZEL_WEB_TOKEN" in refused
        assert OTHER not in refused
        monkeypatch.setenv("OUZEL_WEB_TOKEN", TOKEN)
        assert (await ask(world, "ann")).exit_code == 0


async def test_problems_of_the_api_are_told_in_a_sentence() -> None:
    async with api_world() as world:
        too_long = message(await ask(world, "u" * 129))
        assert "gave no list: " in too_long
        assert "length <= 128" in too_long
        world.lane.state = None
        assert "reads its state" in message(await ask(world, "ann"))


async def test_worker_without_the_api_is_told() -> None:
    async with api_world() as world:
        for path in ("/elsewhere", "/v1"):  # in words, and as a problem
            url = str(world.client.make_url(path))
            with pytest.raises(DeployError, match=r"serves no API\. Start one with the API on"):
                await asyncio.to_thread(recommendations, url, "ann")


def test_no_worker_is_told_with_how_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeployError, match=r"no worker answers at http://127\.0\.0\.1:1 \(connection refused\)\. Start"):
        recommendations("http://127.0.0.1:1", "ann")

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DeployError, match="unknown name"):
        recommendations("http://worker.invalid", "ann")


NO_ADDRESSES = """
127.0.0.1:6066
ftp://host
http://
http://host:x
http://host:99999
http://[::1
http://h?q=1
http://h#f
http://h ost
http://höst
"""


@pytest.mark.parametrize(
    "url",
    [*NO_ADDRESSES.strip().splitlines(), f"http://{HOSTILE}", "http://h\r\nX: y", ""],
    ids=ascii,
)
def test_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(DeployError, match="--url takes the address of a worker") as refused:
        recommendations(url, "ann")
    check(str(refused.value))


def test_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(DeployError, match="OUZEL_WEB_TOKEN") as refused:
        recommendations(f"http://ann:{OTHER}@127.0.0.1:1", "ann")
    assert OTHER not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://[::1]", (False, "::1", 80, "")),
        ("http://[::1]:6066/", (False, "::1", 6066, "")),
        ("HTTPS://Host/ouzel/", (True, "host", 443, "/ouzel")),
    ],
)
def test_address_has_a_port(url: str, place: tuple[bool, str, int, str]) -> None:
    assert place_of(url) == place


def test_empty_user_is_refused() -> None:
    for given in ([""], ["-"]):
        result = CliRunner().invoke(cli, ["ask", *given], input="")
        assert "the user's id is empty" in message(result)


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives one answer, whatever is asked: its address, and the requests."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                asked.append(connection.recv(65_536))
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/ouzel/", asked
        finally:
            thread.join(PATIENCE)


def sent(status: str, body: bytes, content_type: str = "application/json", more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n", "does not speak HTTP"),
        (b"", "no worker answers|does not speak HTTP"),
        (sent("200 OK", b"<html>"), "does not answer with a list"),
        (sent("200 OK", b'{"entries": "\xff"}'), "does not answer with a list"),
        (sent("200 OK", b" " * (MAX_ANSWER_BYTES + 1)), "more than any list has"),
        (sent("404 Not Found", b"404"), "serves no API"),
        (sent("502 Bad Gateway", b"nginx"), "status 502"),
        (sent("503 x", b"nonsense", "application/problem+json"), "status 503"),
        (sent("302 Found", b"", more="Location: http://127.0.0.1:1/\r\n"), "status 302"),
        (
            sent(
                "503 x",
                msgspec.json.encode({"type": "x", "title": "x", "status": 503, "detail": f"{HOSTILE}\nTry again."}),
                "application/problem+json",
            ),
            "gave no list: .*Try again",
        ),
    ],
    ids=["ssh", "closed", "html", "bytes", "long", "404", "502", "nonsense", "redirect", "hostile"],
)
def test_answer_of_no_worker_is_told_in_a_sentence(answer: bytes, says: str) -> None:
    with answering(answer) as (url, asked), pytest.raises(DeployError, match=says) as told:
        recommendations(url, "ann", token=Secret(TOKEN))
    check(str(told.value))
    assert "\n" not in str(told.value)
    assert asked[0].startswith(b"GET /ouzel/v1/recommendations/ann HTTP/1.1\r\n")
    assert TOKEN not in str(told.value)


def test_worker_that_does_not_answer_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(DeployError, match=r"did not answer within 0\.2 s: check that the worker is ready"):
            recommendations(url, "ann", timeout=0.2)
