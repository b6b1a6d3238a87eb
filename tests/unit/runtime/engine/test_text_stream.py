from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from tests.support.tiny import build_tokenizer
from weft.runtime.engine.text_stream import TextStream, TokenTexts

TOKENIZER: Tokenizer = build_tokenizer().backend_tokenizer
TEXTS = TokenTexts(TOKENIZER)
SPACED = Tokenizer(models.WordLevel({"a": 0, "b": 1, "é": 2, "?": 3}, unk_token="?"))
"""Its decoder puts spaces between tokens: the text of a token depends on what stands before it."""


def id_of(token: str) -> int:
    token_id = TOKENIZER.token_to_id(token)
    assert token_id is not None
    return token_id


def stream_text(token_ids: list[int], stops: list[str]) -> tuple[str, bool]:
    stream = TextStream(TEXTS, stops)
    text = ""
    for token_id in token_ids:
        piece = stream.push(token_id)
        text += piece.text
        if piece.is_stopped:
            return text, True
    return text + stream.flush(), False


@given(st.text())
def test_pieces_add_up_to_the_text(text: str) -> None:
    token_ids = TOKENIZER.encode(text, add_special_tokens=False).ids
    assert stream_text(token_ids, []) == (text, False)


@given(st.lists(st.integers(3, 380)))
def test_pieces_add_up_to_the_decoded_text_also_when_it_is_no_utf8(token_ids: list[int]) -> None:
    text, _ = stream_text(token_ids, [])
    whole = TOKENIZER.decode(token_ids)
    assert text.replace("\ufffd", "") == whole.replace("\ufffd", "")


@given(st.lists(st.integers(0, 2)))
def test_tokens_whose_text_depends_on_the_context_add_up(token_ids: list[int]) -> None:
    stream = TextStream(TokenTexts(SPACED), [])
    text = "".join(stream.push(token_id).text for token_id in token_ids)
    assert text + stream.flush() == SPACED.decode(token_ids)


def test_whole_characters_of_byte_level_tokens_need_no_context() -> None:
    assert TEXTS.alone(id_of("a")) == "a"
    assert TEXTS.alone(id_of("<|im_end|>")) == ""
    assert TEXTS.alone(id_of("<tool_call>")) == "<tool_call>"
    assert TEXTS.alone(id_of("Ã")) is None
    assert TokenTexts(SPACED).alone(0) is None


@given(st.text(alphabet="abé \n", max_size=20), st.lists(st.text("abé\n", min_size=1, max_size=4)))
def test_stops_cut_where_a_search_in_the_whole_text_would(text: str, stops: list[str]) -> None:
    token_ids = TOKENIZER.encode(text, add_special_tokens=False).ids
    # The stream sees a stop as soon as a token completes it: the first one to be complete wins.
    ends = [text.find(s) + len(s) for s in stops if s in text]
    got, is_stopped = stream_text(token_ids, stops)
    assert is_stopped == bool(ends)
    if is_stopped:
        assert text.startswith(got)
        assert all(stop not in got for stop in stops)
        assert any(text[len(got) :].startswith(stop) for stop in stops)
    else:
        assert got == text


def test_text_that_may_become_a_stop_is_held_back() -> None:
    stream = TextStream(TEXTS, ["abc"])
    ids = [id_of(letter) for letter in "xabd"]
    assert [stream.push(i).text for i in ids] == ["x", "", "", "abd"]


@pytest.mark.parametrize("can_stop", [True, False])
def test_stops_wait_for_the_minimum_length(can_stop: bool) -> None:
    stream = TextStream(TEXTS, ["a"])
    piece = stream.push(id_of("a"), can_stop=can_stop)
    assert piece.is_stopped == can_stop


@pytest.mark.parametrize(("texts", "num_tokens"), [(TEXTS, 380), (TokenTexts(SPACED), 3)])
@given(data=st.data())
def test_reading_many_tokens_at_once_gives_what_pushing_each_gives(
    texts: TokenTexts, num_tokens: int, data: st.DataObject
) -> None:
    runs = st.lists(st.lists(st.integers(0, num_tokens - 1), max_size=5), max_size=6)
    one, other = TextStream(texts, ()), TextStream(texts, ())
    for run in data.draw(runs):
        assert one.read(run) == "".join(other.push(token_id).text for token_id in run)
    assert one.flush() == other.flush()
