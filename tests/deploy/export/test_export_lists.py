"""`ouzel export lists` on a broker writes what is on the topic."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from deploy.kafka.topics import create
from deploy.local.brokers import Broker
from schemas.codec import decode, encode
from schemas.privacy import ErasureOrder, ErasureReceipt
from schemas.recommendations import Recommendation
from schemas.topics import EVENTS, ITEMS, PRIVACY, PRIVACY_RECEIPTS, RECOMMENDATIONS
from tests.deploy.export.records import made
from tests.schemas.examples import NOW
from tests.support.patience import PATIENCE
from tests.support.pipeline import Pipeline, click, films
from tests.support.topics import read_all, send_all

embedded = pytest.mark.parametrize("own_broker", ["embedded"], indirect=True)


def ouzel(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)


@pytest.mark.kafka
@embedded
async def test_export_holds_the_newest_lists_of_the_topic(own_broker: Broker, tmp_path: Path) -> None:
    await create(own_broker.bootstrap)
    lists = [made(f"u{n % 20}", f"film-{n % 7}", f"film-{n % 5}", ts=NOW + n) for n in range(100)]
    lists += [made("u0", "film-1", "gone", ts=NOW + 200, scene="shop"), made("u1", ts=NOW + 300)]
    lists += [made("eve", "film-1"), made("old", "film-1", ts=NOW - 1)]
    records: list[tuple[bytes | None, bytes | None]] = [(each.user.encode(), encode(each)) for each in lists]
    await send_all(own_broker.bootstrap, [*records, (b"u2", None), (b"u3", b"nonsense")], RECOMMENDATIONS.name)
    await send_all(own_broker.bootstrap, [(film.id.encode(), encode(film)) for film in films(10)], ITEMS.name)
    order = ErasureOrder(id="o", user="eve", ts=NOW)
    receipt = ErasureReceipt(order="o", user="eve", ts=NOW, cleared=(), partition=3, offset=41)
    await send_all(own_broker.bootstrap, [(b"eve", encode(order))], PRIVACY.name)
    await send_all(own_broker.bootstrap, [(b"eve", encode(receipt))], PRIVACY_RECEIPTS.name)

    since = datetime.fromtimestamp(NOW / 1000, UTC).isoformat()
    files = [str(tmp_path / name) for name in ("lists.parquet", "lists.jsonl")]
    done = [ouzel("export", "lists", out, "--brokers", own_broker.bootstrap, "--since", since) for out in [*files, "-"]]
    assert [each.returncode for each in done] == [0, 0, 0], done
    found = rows_of(files[1])
    assert [json.loads(line) for line in done[2].stdout.splitlines()] == found
    table = pq.read_table(files[0])
    assert table.set_column(3, "ts", table["ts"].cast("int64")).to_pylist() == found

    current = {(each.user, each.scene): each for each in lists[:-2] if each.user not in {"u1", "u2"}}
    wanted = [
        (each.user, each.scene, each.id, place, entry.item)
        for _, each in sorted(current.items())
        for place, entry in enumerate(each.entries)
    ]
    assert [(row["user"], row["scene"], row["list"], row["position"], row["item"]) for row in found] == wanted
    assert {row["title"] for row in found if row["item"] == "gone"} == {None}
    assert {row["title"] for row in found if row["item"] == "film-1"} == {"The Drama of Number 1"}
    for each in done:
        assert f"exported {len(wanted)} rows: 19 lists of 18 users" in each.stderr
        assert "left out 1 list older than --since" in each.stderr
        assert "left out 1 list without entries" in each.stderr
        assert "left out 1 list of users who were erased since" in each.stderr
        assert "1 record of ouzel.recommendations cannot be read" in each.stderr


@pytest.mark.kafka
@embedded
async def test_export_of_a_worker_follows_an_erasure(own_broker: Broker, tmp_path: Path) -> None:
    with Pipeline(own_broker, tmp_path, triton="") as path:
        await path.prepare(films())
        path.start()
        await path.send(EVENTS, [(f"w{n}", encode(click(f"w{n}", f"film-{n}", n))) for n in range(5)])
        await path.read(RECOMMENDATIONS, Recommendation, lambda out: sum(one.user[0] == "w" for one in out) >= 5)
        out = str(tmp_path / "lists.jsonl")
        assert (
            ouzel("export", "lists", out, "--brokers", own_broker.bootstrap, "--scene", "home", "--top", "3").returncode
            == 0
        )
        newest = {}
        for record in await read_all(own_broker.bootstrap, RECOMMENDATIONS.name):
            if record.key.startswith(b"w"):
                one = decode(Recommendation, record.value)
                newest[one.user] = [entry.item for entry in one.entries[:3]]
        found: dict[str, list[str]] = {}
        for row in rows_of(out):
            if row["user"].startswith("w"):
                found.setdefault(row["user"], []).append(row["item"])
        assert found == newest
        assert len(found) == 5
        erased = ouzel("forget", "w1", "--brokers", own_broker.bootstrap, "--log", str(tmp_path))
        assert erased.returncode == 0, erased.stderr
        assert exported(own_broker, out) == {"w0", "w2", "w3", "w4"}
        back = click("w1", "film-9", 99)
        await path.send(EVENTS, [("w1", encode(back))])
        await path.read(RECOMMENDATIONS, Recommendation, lambda out: any(one.trigger == back.id for one in out))
        assert exported(own_broker, out) == {"w0", "w1", "w2", "w3", "w4"}


def exported(broker: Broker, out: str) -> set[str]:
    done = ouzel("export", "lists", out, "--brokers", broker.bootstrap)
    assert done.returncode == 0, done.stderr
    return {row["user"] for row in rows_of(out) if row["user"].startswith("w")}


def rows_of(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_export_without_brokers_says_so(tmp_path: Path) -> None:
    out = tmp_path / "lists.jsonl"
    done = ouzel("export", "lists", str(out), "--brokers", "127.0.0.1:1", "--timeout", "1")
    assert done.returncode == 1
    assert "no broker answers at 127.0.0.1:1" in done.stderr
    assert not out.exists()
