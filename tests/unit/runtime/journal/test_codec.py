from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.errors import JournalCorrupt, JournalError
from weft.runtime.journal import canonical, checksum, decode, encode

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
KEYS = st.text(max_size=4) | st.sampled_from(["$float", "$$float", "$", "$x"])
DATA = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=3)
)


@given(DATA)
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_whatever_is_encoded_is_decoded_equal_and_in_the_same_order(value: object) -> None:
    text = encode(value)
    assert text.isascii()
    back = decode(text)
    assert back == value
    assert repr(back) == repr(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 10**40])
def test_numbers_that_json_lacks_or_loses_survive(value: float) -> None:
    assert repr(decode(encode([value]))) == repr([value])


@pytest.mark.parametrize("value", ["\ud800", "a\udfffb", "\x00", "\U0001f600", "é"])
def test_every_string_survives_even_one_that_utf8_cannot_carry(value: str) -> None:
    assert decode(encode({value: value})) == {value: value}


@pytest.mark.parametrize(
    "value", [{"$float": "nan"}, {"$$float": 1}, {"$": {"$float": 2}}, {"$float": 1, "b": 2}]
)
def test_data_that_looks_like_a_tag_is_not_mistaken_for_one(value: object) -> None:
    assert decode(encode(value)) == value


def test_the_canonical_text_ignores_the_order_of_keys_and_encode_keeps_it() -> None:
    one, other = {"a": 1, "b": [{"c": 2, "d": 3}]}, {"b": [{"d": 3, "c": 2}], "a": 1}
    assert canonical(one) == canonical(other) == '{"a":1,"b":[{"c":2,"d":3}]}'
    assert encode(one) != encode(other)


@pytest.mark.parametrize("value", [object(), {1: 2}, b"bytes", {1, 2}, [print]])
def test_what_is_not_data_is_refused(value: object) -> None:
    with pytest.raises(JournalError, match="cannot be recorded"):
        encode(value)


def test_a_value_that_holds_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(JournalError, match="holds itself"):
        encode(loop)


@pytest.mark.parametrize("text", ["", "{", "NaN", '{"$unknown":1}', '{"$float":"1"}', "[" * 99999])
def test_what_was_not_encoded_is_refused(text: str) -> None:
    with pytest.raises(JournalCorrupt):
        decode(text)


def test_a_checksum_tells_where_a_part_ends() -> None:
    assert checksum("ab", "c") != checksum("a", "bc")
    assert checksum("a\ud800") == checksum("a\ud800")
