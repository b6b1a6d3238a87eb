from __future__ import annotations

from weft.cache import Namespace
from weft.cache.spill_index import SpillIndex, block_keys, spell


def keys(*numbers: int) -> list[bytes]:
    return [str(number).encode() for number in numbers]


def test_leading_blocks_are_found() -> None:
    index = SpillIndex(4)
    slots = [index.put(key) for key in keys(1, 2, 4)]
    assert sorted(slots) == [0, 1, 2]
    assert index.find(keys(1, 2, 3, 4)) == slots[:2]
    assert index.find(keys(3)) == []


def test_the_oldest_makes_room() -> None:
    index = SpillIndex(2)
    first, second = (index.put(key) for key in keys(1, 2))
    index.renew(b"1")
    assert index.put(b"3") == second
    assert b"2" not in index
    assert index.find([b"1"]) == [first]
    assert len(index) == 2


def test_what_was_read_back_makes_room_first_and_last_block_first() -> None:
    index = SpillIndex(3)
    slots = [index.put(key) for key in keys(1, 2, 3)]
    index.retire(keys(2, 3))
    assert [index.put(b"4"), index.put(b"5")] == [slots[1], slots[2]]
    assert index.find([b"1"]) == slots[:1]


def test_a_block_is_named_by_all_up_to_its_end() -> None:
    width = len(spell([0])) * 2

    def names(*tokens: int, tenant: str = "") -> list[bytes]:
        return list(block_keys(Namespace(tenant=tenant), spell(tokens), width))

    assert len(names(1, 2, 3, 4, 5)) == 2
    assert names(1, 2, 3, 4) == names(1, 2, 3, 4, 9)
    assert names(1, 2, 3, 4)[0] == names(1, 2, 5, 6)[0]
    assert names(1, 2, 3, 4)[1] != names(7, 2, 3, 4)[1]
    assert names(1, 2)[0] != names(1, 2, tenant="b")[0]
