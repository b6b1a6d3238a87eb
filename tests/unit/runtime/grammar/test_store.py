from __future__ import annotations

from weft.runtime.grammar.store import ByteCappedStore


def test_the_least_recently_used_goes_first() -> None:
    store = ByteCappedStore[str, int](30)
    for number, key in enumerate("abc"):
        store.put(key, number, 10)
    assert store.get("a") == 0
    store.put("d", 3, 10)
    assert [store.get(key) for key in "abcd"] == [0, None, 2, 3]
    assert (len(store), store.size_bytes) == (3, 30)


def test_replacing_counts_once() -> None:
    store = ByteCappedStore[str, int](30)
    store.put("a", 1, 20)
    store.put("a", 2, 5)
    assert (store.get("a"), store.size_bytes) == (2, 5)


def test_what_is_larger_than_the_cap_is_not_kept() -> None:
    store = ByteCappedStore[str, int](30)
    store.put("a", 1, 20)
    store.put("b", 2, 31)
    assert (store.get("a"), store.get("b"), store.size_bytes) == (1, None, 20)


def test_ten_thousand_entries_stay_under_the_cap() -> None:
    store = ByteCappedStore[int, int](1000)
    for key in range(10_000):
        store.put(key, key, 1 + key % 97)
        assert store.size_bytes <= 1000
    assert store.get(9_999) == 9_999
