"""The tokenizer encodes anything, and the template writes the documented strings."""

from functools import cache
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.mini.chat_tokenizer import ChatTokenizer
from examples.mini.documents import Encoder
from examples.mini.mixture import SKILLS
from examples.mini.problem import JsonValue, Problem, dialogue
from examples.mini.tokenizer import TAG_TOKENS, render, train_tokenizer

pytestmark = pytest.mark.slow


@cache
def tokenizer() -> ChatTokenizer:
    return train_tokenizer(0, num_documents=300)


@settings(deadline=None, max_examples=50)
@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    assert tokenizer().decode(tokenizer().encode(text)) == text


def test_numbers_are_cut_by_two_digits_and_tags_are_one_token() -> None:
    pieces = [tokenizer().decode([token_id]) for token_id in tokenizer().encode("12345 678")]
    assert "".join(pieces) == "12345 678"
    assert "12" in pieces
    assert all(sum(map(str.isdigit, piece)) <= 2 for piece in pieces)
    for tag in TAG_TOKENS:
        assert len(tokenizer().encode(tag)) == 1


def test_training_repeats_by_seed() -> None:
    again = train_tokenizer(0, num_documents=300)
    assert again.get_vocab() == tokenizer().get_vocab()


def test_template_writes_plain_turns() -> None:
    problem = Problem(
        skill="x", key="x", messages=dialogue("Be brief.", "Hi", "Hello"), num_prompt=2, check={}
    )
    assert render(tokenizer(), problem) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello<|im_end|>\n"
    )


def test_template_writes_tools_calls_and_responses() -> None:
    call: JsonValue = {
        "type": "function",
        "function": {"name": "get_price", "arguments": {"item": "pan"}},
    }
    problem = Problem(
        skill="x",
        key="x",
        messages=[
            {"role": "user", "content": "Price of pan?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "7"},
        ],
        num_prompt=1,
        check={},
        tools=[{"type": "function", "function": {"name": "get_price"}}],
    )
    assert render(tokenizer(), problem) == (
        "<|im_start|>system\n<tools>\n"
        '{"type": "function", "function": {"name": "get_price"}}\n'
        "</tools><|im_end|>\n"
        "<|im_start|>user\nPrice of pan?<|im_end|>\n"
        '<|im_start|>assistant\n<tool_call>\n{"name": "get_price", "arguments": {"item": "pan"}}\n'
        "</tool_call><|im_end|>\n"
        "<|im_start|>user\n<tool_response>\n7\n</tool_response><|im_end|>\n"
    )


def test_template_asks_for_the_assistant() -> None:
    text = tokenizer().apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize("skill", SKILLS)
def test_targets_are_the_assistants_tokens(skill: str) -> None:
    encoder = Encoder(tokenizer())
    problem = SKILLS[skill](Random(0))
    document = encoder.encode(problem)
    likely = {position: token for position, token, share in document.targets if share == 1.0}
    assert all(document.ids[position + 1] == token for position, token in likely.items())
    shares: dict[int, float] = {}
    for position, _, share in document.targets:
        shares[position] = shares.get(position, 0.0) + share
    assert all(share == pytest.approx(1.0) for share in shares.values())
    num_turns = sum(item["role"] == "assistant" for item in problem.messages)
    ends = [p for p in shares if document.ids[p + 1] == tokenizer().eos_token_id]
    assert len(ends) == num_turns
