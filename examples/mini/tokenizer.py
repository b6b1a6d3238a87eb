"""Train mini's tokenizer: byte-level pieces, so that any text can be encoded."""

from collections.abc import Iterator
from itertools import islice
from random import Random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from examples.mini.chat_template import CHAT_TEMPLATE
from examples.mini.mixture import training_problems
from examples.mini.problem import Problem

VOCAB_SIZE = 1024
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

PIECES = r" ?[\p{L}_]+| ?\p{N}| ?[^\s\p{L}\p{N}_]+|\s+"
"""Words, single digits, runs of signs and runs of spaces; a leading space belongs to its word."""


def train_tokenizer(seed: int, num_documents: int = NUM_DOCUMENTS) -> PreTrainedTokenizerFast:
    """Train on documents of the training mixture; the same seed gives the same tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in CONTROL_TOKENS])
    tokenizer.add_tokens([AddedToken(token, special=False) for token in TAG_TOKENS])
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[*CONTROL_TOKENS, *TAG_TOKENS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    problems = islice(training_problems(Random(f"tokenizer/{seed}")), num_documents)
    texts = list(_texts(problems))  # sqlite connections stay in the thread that opened them
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(token, special=False) for token in TAG_TOKENS])
    return wrap(tokenizer)


def wrap(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """Give a trained tokenizer its chat template and the roles of its tokens."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        chat_template=CHAT_TEMPLATE,
        model_max_length=MAX_POSITIONS,
        clean_up_tokenization_spaces=False,
    )


def _texts(problems: Iterator[Problem]) -> Iterator[str]:
    """Yield the texts inside the turns, tools included as the template shows them."""
    shell = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE()), chat_template=CHAT_TEMPLATE
    )
    for problem in problems:
        text = render(shell, problem)
        for token in (*CONTROL_TOKENS, *TAG_TOKENS):
            text = text.replace(token, "\0")
        yield from text.split("\0")


def render(tokenizer: PreTrainedTokenizerFast, problem: Problem) -> str:
    """Write a problem's whole dialogue as the chat template does."""
    text = tokenizer.apply_chat_template(
        [dict(message) for message in problem.messages],
        tools=[dict(tool) for tool in problem.tools] if problem.tools else None,
        tokenize=False,
    )
    if not isinstance(text, str):
        raise TypeError(f"chat template gave {type(text).__name__}; expected one text")
    return text
