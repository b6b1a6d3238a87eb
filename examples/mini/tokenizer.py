"""Train mini's tokenizer: byte-level pieces, so that any text can be encoded."""

from collections.abc import Iterator
from itertools import islice
from random import Random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from examples.mini.chat_template import CHAT_TEMPLATE
from examples.mini.chat_tokenizer import ChatTokenizer, wrap
from examples.mini.mixture import training_problems
from examples.mini.problem import Problem

VOCAB_SIZE = 1536
NUM_DOCUMENTS = 5_000
END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CONTROL_TOKENS = (END_OF_TEXT, TURN_START, TURN_END)
TAG_TOKENS = (
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
)
"""Added tokens that stay in decoded text."""
MAX_POSITIONS = 4096

PIECES = r" ?[\p{L}_]+| ?\p{N}{1,2}| ?[^\s\p{L}\p{N}_]+|\s+"
"""Words, numbers by two digits, runs of signs and of spaces; a space before belongs to its word."""


def train_tokenizer(seed: int, num_documents: int = NUM_DOCUMENTS) -> ChatTokenizer:
    """Train on documents of the training mixture; the same seed gives the same tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[*CONTROL_TOKENS, *TAG_TOKENS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    problems = islice(training_problems(Random(f"tokenizer/{seed}")), num_documents)
    texts = list(_texts(problems))  # sqlite connections stay in the thread that opened them
    tokenizer.train_from_iterator(texts, trainer)
    tags = [AddedToken(token, special=False) for token in TAG_TOKENS]
    tokenizer.add_tokens(tags)  # pyright: ignore[reportUnknownMemberType]
    return _wrap(tokenizer)


def _wrap(tokenizer: Tokenizer) -> ChatTokenizer:
    return wrap(tokenizer, CHAT_TEMPLATE, end=TURN_END, pad=END_OF_TEXT, max_tokens=MAX_POSITIONS)


def _texts(problems: Iterator[Problem]) -> Iterator[str]:
    """Yield the texts inside the turns, tools included as the template shows them."""
    shell = _wrap(Tokenizer(models.BPE()))
    for problem in problems:
        text = render(shell, problem)
        for token in (*CONTROL_TOKENS, *TAG_TOKENS):
            text = text.replace(token, "\0")
        yield from text.split("\0")


def render(tokenizer: ChatTokenizer, problem: Problem) -> str:
    """Write a problem's whole dialogue as the chat template does."""
    return tokenizer.apply_chat_template(problem.messages, tools=problem.tools, tokenize=False)
