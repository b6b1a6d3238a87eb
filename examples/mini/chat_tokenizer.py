"""The part of transformers' tokenizer that mini uses, with the types it really has."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol, cast

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from examples.mini.problem import JsonValue

Messages = Sequence[Mapping[str, JsonValue]]


class ChatTokenizer(Protocol):
    """Encodes, decodes and renders chats."""

    chat_template: str
    eos_token_id: int

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        ...

    def decode(self, ids: list[int], *, skip_special_tokens: bool = False) -> str:
        """Return the text of ids."""
        ...

    def convert_tokens_to_ids(self, token: str) -> int:
        """Return the id of one token."""
        ...

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        """Return the pieces of ids, as the vocabulary writes them."""
        ...

    def get_vocab(self) -> dict[str, int]:
        """Return every token with its id."""
        ...

    def apply_chat_template(
        self,
        conversation: Messages,
        *,
        tools: Messages | None = None,
        tokenize: Literal[False],
        add_generation_prompt: bool = False,
    ) -> str:
        """Render a chat as text."""
        ...

    def save_pretrained(self, folder: Path, *, save_jinja_files: bool) -> object:
        """Write tokenizer.json and tokenizer_config.json."""
        ...


def wrap(
    tokenizer: Tokenizer, template: str, *, end: str, pad: str, max_tokens: int
) -> ChatTokenizer:
    """Give a trained tokenizer its chat template and the roles of its tokens."""
    # transformers gives this constructor no types.
    wrapped: object = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=end,
        pad_token=pad,
        chat_template=template,
        model_max_length=max_tokens,
        clean_up_tokenization_spaces=False,
    )
    return cast(ChatTokenizer, wrapped)
