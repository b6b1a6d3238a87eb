"""The two stages of training: what each begins from, learns, and how fast."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, cast

from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from examples.mini import parallel
from examples.mini.chat_tokenizer import ChatTokenizer
from examples.mini.documents import BATCH_TOKENS, Batch, Encoder, batches
from examples.mini.mixture import training_problems
from examples.mini.model import build_model
from examples.mini.tokenizer import train_tokenizer

BATCHES_PER_STEP = 4
EXPECTED_TARGETS = 0.3 * BATCH_TOKENS * BATCHES_PER_STEP
"""Assistant tokens of a usual step."""


class Beginning(NamedTuple):
    """What a stage goes on from."""

    model: Qwen3ForCausalLM
    tokenizer: ChatTokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of training."""

    begin: Callable[[int, Path], Beginning]
    """From the seed and the folder of an earlier stage's export."""
    batches: Callable[[ChatTokenizer, str], Iterator[Batch]]
    """Batches without end, the same for the same seed."""
    divisor: Callable[[int], float]
    """From the number of targets of a batch, what its summed loss is divided by."""
    matrix_lr: float
    other_lr: float


def from_nothing(seed: int, _: Path) -> Beginning:
    """Train a tokenizer and make fresh weights."""
    tokenizer = train_tokenizer(seed)
    return Beginning(build_model(tokenizer, seed), tokenizer)


def from_export(_: int, folder: Path) -> Beginning:
    """Load an exported model, in float32, and its tokenizer."""
    model = Qwen3ForCausalLM.from_pretrained(folder, dtype="float32")
    # Any, because the call has no types.
    tokenizer = cast(Any, PreTrainedTokenizerFast).from_pretrained(folder)
    return Beginning(model, cast(ChatTokenizer, tokenizer))


def first_batches(tokenizer: ChatTokenizer, seed: str) -> Iterator[Batch]:
    """Batches of the first stage's mixture."""
    return batches(Encoder(tokenizer), training_problems(Random(seed)))


STAGES: Mapping[str, Stage] = {
    "first": Stage(
        begin=from_nothing,
        batches=first_batches,
        # Fixed, so that every token weighs the same.
        divisor=lambda _: EXPECTED_TARGETS,
        matrix_lr=5e-3,
        other_lr=4e-3,
    ),
    "parallel": Stage(
        begin=from_export,
        batches=parallel.training_batches,
        # Every batch weighs the same: lists are nearly all targets, dialogues have few.
        divisor=lambda num_targets: num_targets * BATCHES_PER_STEP,
        matrix_lr=3e-3,
        other_lr=2.4e-3,
    ),
}
