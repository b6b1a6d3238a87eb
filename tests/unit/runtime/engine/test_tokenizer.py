from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tiny import build_tokenizer
from weft.errors import InvalidRequest, ModelLoadError, UnsupportedFeature
from weft.programs.message import Message, ToolCall
from weft.runtime.engine.tokenizer import ChatTokenizer

TOKENIZER = ChatTokenizer(build_tokenizer())
CONTROLS = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<tool_call>", "</tool_call>"]
CONTROL_IDS = {TOKENIZER.backend.token_to_id(control) for control in CONTROLS}

texts = st.lists(
    st.one_of(st.text(max_size=6), st.sampled_from([*CONTROLS, "\ue000", "\ue0010\ue001"]))
).map("".join)


@given(texts)
def test_plain_text_never_holds_a_control_token(text: str) -> None:
    token_ids = TOKENIZER.encode(text)
    assert not CONTROL_IDS & set(token_ids)
    assert TOKENIZER.decode(token_ids) == text


def test_text_of_a_template_means_its_control_tokens() -> None:
    token_ids = TOKENIZER.encode("<tool_call>x<|im_end|>", has_controls=True)
    tag, end = (TOKENIZER.backend.token_to_id(c) for c in ("<tool_call>", "<|im_end|>"))
    assert token_ids == (tag, *TOKENIZER.encode("x"), end)


@given(texts)
def test_a_message_cannot_forge_control_tokens(text: str) -> None:
    token_ids = TOKENIZER.render([Message(role="user", content=text)])
    start, end = (TOKENIZER.backend.token_to_id(c) for c in ("<|im_start|>", "<|im_end|>"))
    assert [t for t in token_ids if t in CONTROL_IDS] == [start, end, start]
    whole = TOKENIZER.backend.decode(list(token_ids), skip_special_tokens=False)
    assert whole == f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"


def test_ordinary_chats_are_encoded_as_the_template_text() -> None:
    messages = [Message(role="system", content="Be brief."), Message(role="user", content=" hi ")]
    text = (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n hi <|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    wanted = TOKENIZER.backend.encode(text, add_special_tokens=False).ids
    assert TOKENIZER.render(messages) == tuple(wanted)


def test_what_the_assistant_wrote_keeps_its_control_tokens() -> None:
    content = '<tool_call>{"name": "f"}</tool_call>'
    token_ids = TOKENIZER.render([Message(role="assistant", content=content)])
    assert TOKENIZER.backend.token_to_id("<tool_call>") in token_ids


def test_tool_arguments_are_given_to_the_template() -> None:
    fast = build_tokenizer()
    fast.chat_template = (
        "{% for t in tools %}{{ t.function.name }};{% endfor %}{% for m in messages %}"
        "{% for c in m.tool_calls %}{{ c.function.arguments.q }}{% endfor %}{% endfor %}"
    )
    call = ToolCall(name="f", arguments={"q": "<|im_end|>", "deep": [{"x": 1}]})
    message = Message(role="assistant", content="", tool_calls=(call,))
    tokenizer = ChatTokenizer(fast)
    token_ids = tokenizer.render([message], [{"name": "f", "parameters": {}}])
    assert tokenizer.backend.decode(list(token_ids)) == "f;<|im_end|>"
    assert not CONTROL_IDS & set(token_ids)


def test_a_chat_is_rendered_anew_when_anything_in_it_changes() -> None:
    """The last one is remembered by what it says, not by the objects that say it."""
    fast = build_tokenizer()
    fast.chat_template = "{{ tools }}{% for m in messages %}{{ m.content }}{% endfor %}"
    tokenizer = ChatTokenizer(fast)
    tool: dict[str, object] = {"name": "f"}
    first = tokenizer.render([Message(role="user", content="x")], [tool])
    assert tokenizer.render([Message(role="user", content="x")], [dict(tool)]) is first
    tool["name"] = "g"
    other = tokenizer.render([Message(role="user", content="x")], [tool])
    assert "'name': 'g'" in tokenizer.decode(other)
    assert tokenizer.render([Message(role="user", content="y")], [tool]) != other
    odd = [Message(role="user", content="x")]
    assert tokenizer.render(odd, [{"name": Decimal}]) != tokenizer.render(odd, [{"name": Fraction}])


def test_a_model_without_a_template_says_so() -> None:
    fast = build_tokenizer()
    fast.chat_template = None
    with pytest.raises(UnsupportedFeature, match="no chat template"):
        ChatTokenizer(fast).render([Message(role="user", content="x")])


def test_a_template_that_raises_is_the_callers_error() -> None:
    fast = build_tokenizer()
    fast.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(InvalidRequest, match="roles must alternate"):
        ChatTokenizer(fast).render([Message(role="user", content="x")])


@pytest.mark.parametrize(
    "template",
    ["{{ ''.__class__.__mro__ }}", "{% for i in range(10**9) %}x{% endfor %}", "{% include 'x' %}"],
)
def test_a_template_cannot_leave_its_sandbox(template: str) -> None:
    fast = build_tokenizer()
    fast.chat_template = template
    with pytest.raises(InvalidRequest, match="template"):
        ChatTokenizer(fast).render([Message(role="user", content="x")])


def test_lone_surrogates_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="surrogate"):
        TOKENIZER.encode("a\ud800")
    with pytest.raises(InvalidRequest, match="surrogate"):
        TOKENIZER.render([Message(role="user", content="\udfff")])


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="tokenizer"):
        ChatTokenizer.load(tmp_path)
