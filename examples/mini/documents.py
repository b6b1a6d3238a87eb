"""From problems to padded batches of token ids with the assistant's tokens marked.

Shape suffixes: B documents, T tokens.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from examples.mini.problem import Problem
from examples.mini.tokenizer import END_OF_TEXT, TURN_END, TURN_START, render

BUCKETS = (40, 56, 74, 80, 104, 144, 224, 448)
"""Padded lengths. Few, since each is compiled once; a longer document is dropped."""
BATCH_TOKENS = 2048
"""Tokens of one batch, padding included."""
IGNORED = -100
"""Label of a token without loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Documents of one padded length."""

    ids_BT: Tensor
    """Token ids, int64, padded on the right."""
    labels_BT: Tensor
    """The next token where it is the assistant's, else IGNORED; int64."""


class Encoder:
    """Turns a problem into token ids and marks those the assistant wrote."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self.pad_id = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
        self._end_id = tokenizer.convert_tokens_to_ids(TURN_END)
        self._header = tokenizer.encode(f"{TURN_START}assistant\n")

    def encode(self, problem: Problem) -> tuple[list[int], list[bool]]:
        """Return the ids of the dialogue and whether each is the assistant's, its end included."""
        ids = self._tokenizer.encode(render(self._tokenizer, problem))
        width = len(self._header)
        is_assistant = [False] * len(ids)
        inside = False
        for index in range(width, len(ids)):
            inside = inside or ids[index - width : index] == self._header
            is_assistant[index] = inside
            inside = inside and ids[index] != self._end_id
        return ids, is_assistant


def batches(encoder: Encoder, problems: Iterable[Problem]) -> Iterator[Batch]:
    """Yield batches as buckets fill, in an order fixed by the order of the problems."""
    waiting: dict[int, list[tuple[list[int], list[bool]]]] = {length: [] for length in BUCKETS}
    for problem in problems:
        ids, is_assistant = encoder.encode(problem)
        length = next((length for length in BUCKETS if len(ids) <= length), None)
        if length is None:
            continue
        waiting[length].append((ids, is_assistant))
        if len(waiting[length]) == BATCH_TOKENS // length:
            yield collate(waiting[length], length, encoder.pad_id)
            waiting[length] = []


def collate(documents: list[tuple[list[int], list[bool]]], length: int, pad_id: int) -> Batch:
    """Pad documents to one length."""
    ids_BT = torch.full((len(documents), length), pad_id)
    labels_BT = torch.full((len(documents), length), IGNORED)
    for row, (ids, is_assistant) in enumerate(documents):
        ids_BT[row, : len(ids)] = torch.tensor(ids)
        targets = [
            token if flag else IGNORED
            for token, flag in zip(ids[1:], is_assistant[1:], strict=True)
        ]
        labels_BT[row, : len(ids) - 1] = torch.tensor(targets)
    return Batch(ids_BT=ids_BT, labels_BT=labels_BT)
