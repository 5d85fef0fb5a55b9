"""The store of a partition."""

from pathlib import Path

import pytest

from streams.store import Facts, Header, Store, header, open_store, seal


def test_keeps_values_and_facts(tmp_path: Path) -> None:
    facts = Facts(b"m1", 7, 8, 9)
    with Store(tmp_path / "a" / "b") as store:
        store.write([(b"cann", b"1"), (b"cbob", b"2"), (b"xann", b"3")], facts)
        store.write([(b"cbob", None)], facts)
    with Store(tmp_path / "a" / "b") as store:
        assert (store.get(b"cann"), store.get(b"cbob"), store.get(b"nobody")) == (b"1", None, None)
        assert store.facts == facts
        assert [key for key, _ in store.scan(b"", 10)] == [b"cann", b"xann"]
        assert [key for key, _ in store.scan(b"cann", 10)] == [b"xann"]
        assert list(store.scan(b"", 0)) == []
        assert store.size_bytes() > 0


def test_clear_forgets_everything(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        store.write([(b"cann", b"1")], Facts(b"m1", 7, 8, 9))
        store.clear()
        assert (store.get(b"cann"), store.facts) == (None, Facts())


def test_one_that_cannot_be_read_is_made_anew(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        store.write([(b"cann", b"1")], Facts(b"m1", 7, 8, 9))
    (tmp_path / "s" / "CURRENT").write_text("nonsense")
    with open_store(tmp_path / "s", 1) as store:
        assert store.facts == Facts()


def test_one_that_another_holds_is_left_alone(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        store.write([(b"cann", b"1")], Facts(b"m1", 7, 8, 9))
        with pytest.raises(Exception, match=r"(?i)lock"):
            open_store(tmp_path / "s", 1)
        assert store.get(b"cann") == b"1"


def test_an_envelope() -> None:
    assert header(seal(3, 5, b"payload")) == Header(3, 5)
    assert seal(3, 5, b"payload").endswith(b"payload")
