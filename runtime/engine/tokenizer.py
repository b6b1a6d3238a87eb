"""The model's tokenizer: text and chats to token ids, with control tokens kept apart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol, cast

from pydantic_core import PydanticSerializationError, to_json
from tokenizers import Tokenizer as FastTokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from weft.errors import InvalidRequest, ModelLoadError, UnsupportedFeature
from weft.programs.message import Message
from weft.runtime.engine.text_stream import TokenTexts

__all__ = ["ChatTokenizer"]

_MARK = "\ue000{}\ue001"
"""Stands for a piece of user text while a template is rendered: private-use characters."""


class _FastTokenizer(Protocol):
    """What is used of transformers' fast tokenizers, whose own types say little."""

    backend_tokenizer: FastTokenizer
    chat_template: str | Mapping[str, str] | None
    added_tokens_decoder: Mapping[int, object]

    def apply_chat_template(
        self,
        conversation: Sequence[Mapping[str, object]],
        *,
        tools: Sequence[Mapping[str, object]] | None,
        tokenize: Literal[False],
        add_generation_prompt: bool,
    ) -> str: ...


class ChatTokenizer:
    """A fast tokenizer with its chat template. Safe to call from several threads.

    Text that comes from people or tools can spell a control token (``<|im_end|>``). It is encoded
    as the plain characters, so that no content can end its own turn.
    """

    def __init__(self, fast: PreTrainedTokenizerFast) -> None:
        self.hf = fast
        """The transformers tokenizer, for libraries that want one."""
        self._chat = cast("_FastTokenizer", fast)
        self.backend = self._chat.backend_tokenizer
        self.texts = TokenTexts(self.backend)
        self._plain = _without_added_tokens(self.backend)
        added = {str(token) for token in self._chat.added_tokens_decoder.values()}
        self._controls = tuple(sorted(added, key=len, reverse=True))
        self._last: tuple[bytes, tuple[int, ...]] | None = None

    @classmethod
    def load(cls, folder: Path) -> ChatTokenizer:
        """Read the tokenizer files of a checkpoint. Raises ModelLoadError, runs no remote code."""
        try:
            loaded: object = AutoTokenizer.from_pretrained(  # pyright: ignore[reportUnknownMemberType]
                str(folder), local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
            raise ModelLoadError(
                f"The tokenizer in {str(folder)!r} cannot be read: {error}.",
                remedy="Put tokenizer.json and tokenizer_config.json beside the weights.",
            ) from error
        if not isinstance(loaded, PreTrainedTokenizerFast):
            raise ModelLoadError(
                f"The tokenizer in {str(folder)!r} is a {type(loaded).__name__}.",
                remedy="Convert it to a tokenizer.json (a fast tokenizer).",
            )
        return cls(loaded)

    def encode(self, text: str, *, has_controls: bool = False) -> tuple[int, ...]:
        """Tokens of plain text, with no control token whatever the text says, unless asked."""
        check_text(text)
        return tuple(self._encode_controls(text) if has_controls else self._encode_plain(text))

    def decode(self, token_ids: Sequence[int]) -> str:
        return self.backend.decode(list(token_ids), skip_special_tokens=True)

    def render(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, object]] = ()
    ) -> tuple[int, ...]:
        """The chat template applied, ending where the assistant speaks.

        The last chat is remembered: branches of one prompt ask for it one after the other.
        """
        if self._chat.chat_template is None:
            raise UnsupportedFeature(
                "The model's tokenizer has no chat template.",
                remedy="Use a chat model, or give the prompt as token ids.",
            )
        content = _content(messages, tools)
        last = self._last
        if content and last is not None and last[0] == content:
            return last[1]
        token_ids = tuple(self._render(messages, tools))
        self._last = (content, token_ids)
        return token_ids

    def _render(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, object]]
    ) -> list[int]:
        marks: list[str] = []
        turns = [self._turn(message, marks) for message in messages]
        text = self._apply(turns, [_function(tool) for tool in tools])
        return self._encode_marked(text, marks) if marks else self._encode_controls(text)

    def _turn(self, message: Message, marks: list[str]) -> dict[str, object]:
        check_text(message.content)
        is_trusted = message.role == "assistant"
        content = message.content if is_trusted else self._mark_controls(message.content, marks)
        turn: dict[str, object] = {"role": message.role, "content": content}
        if message.tool_calls:
            turn["tool_calls"] = [
                {
                    "type": "function",
                    "function": {
                        "name": call.name,
                        "arguments": self._mark_arguments(call.arguments, marks),
                    },
                }
                for call in message.tool_calls
            ]
        return turn

    def _mark_arguments(self, value: object, marks: list[str]) -> object:
        if isinstance(value, str):
            return self._mark_controls(value, marks)
        if isinstance(value, Mapping):
            items = cast("Mapping[str, object]", value).items()
            return {key: self._mark_arguments(item, marks) for key, item in items}
        if isinstance(value, list | tuple):
            return [self._mark_arguments(item, marks) for item in cast("list[object]", value)]
        return value

    def _mark_controls(self, text: str, marks: list[str]) -> str:
        """Replace every control token spelled in ``text`` by a mark; almost always a no-op."""
        if "\ue000" in text:
            marks.append("\ue000")
            text = text.replace("\ue000", _MARK.format(len(marks) - 1))
        for control in self._controls:
            if control in text:
                marks.append(control)
                text = text.replace(control, _MARK.format(len(marks) - 1))
        return text

    def _apply(self, turns: list[dict[str, object]], tools: list[dict[str, object]]) -> str:
        try:
            return self._chat.apply_chat_template(
                turns, tools=tools or None, tokenize=False, add_generation_prompt=True
            )
        except Exception as error:  # A template is code of the checkpoint: it may raise anything.
            raise InvalidRequest(
                f"The chat template refused these messages: {error}.",
                remedy="Check the order of roles and the fields that the model's template wants.",
            ) from error

    def _encode_marked(self, text: str, marks: list[str]) -> list[int]:
        token_ids: list[int] = []
        head, *rest = text.split("\ue000")
        token_ids += self._encode_controls(head)
        for part in rest:
            number, _, tail = part.partition("\ue001")
            token_ids += self._encode_plain(marks[int(number)])
            token_ids += self._encode_controls(tail)
        return token_ids

    def _encode_controls(self, text: str) -> list[int]:
        return self.backend.encode(text, add_special_tokens=False).ids

    def _encode_plain(self, text: str) -> list[int]:
        return self._plain.encode(text, add_special_tokens=False).ids


def _content(messages: Sequence[Message], tools: Sequence[Mapping[str, object]]) -> bytes:
    """Equal for equal chats only; empty for what is not plain data."""
    try:
        return to_json((messages, tools))
    except (PydanticSerializationError, ValueError):
        return b""


def check_text(text: str) -> None:
    """Raise InvalidRequest for text that has no UTF-8 form."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            f"The text holds a lone surrogate {text[error.start]!r} at position {error.start}.",
            remedy="Decode the text properly before sending it.",
        ) from error


def _function(tool: Mapping[str, object]) -> dict[str, object]:
    return {"type": "function", "function": dict(tool)}


def _without_added_tokens(tokenizer: FastTokenizer) -> FastTokenizer:
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = []
    state["post_processor"] = None
    return FastTokenizer.from_str(json.dumps(state))
