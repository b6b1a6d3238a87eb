"""From problems to padded batches of token ids with what the assistant should say next.

Shape suffixes: B documents, T tokens, P positions with targets, N targets, S segments.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from examples.mini.chat_tokenizer import ChatTokenizer
from examples.mini.problem import Problem
from examples.mini.tokenizer import END_OF_TEXT, TURN_END, TURN_START, render

BUCKETS = (32, 40, 46, 52, 56, 60, 64, 68, 76, 88, 104, 128, 160, 208, 280, 448)
"""Padded lengths; a longer document is dropped."""
BATCH_TOKENS = 2048
"""Tokens of one batch, padding included."""

Target = tuple[int, int, float]
"""A position, the token that should follow it, and the share of right texts that continue so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One encoded dialogue."""

    ids: list[int]
    targets: list[Target]


class Views(NamedTuple):
    """What tokens see of the segments of their documents, as `segments.Segment` says it for one.

    Tokens of the first segment see it causally, whatever stands here for them.
    """

    starts: tuple[int, ...]
    """Where each segment begins among the T tokens; the last entry is T."""
    seen_BTS: Tensor
    """int64."""
    turns_BTS: Tensor
    """int64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Documents of one padded length."""

    ids_BT: Tensor
    """Token ids, int64, padded on the right."""
    positions_P: Tensor
    """Where targets are, as indices into the flattened ids, ascending; int64."""
    where_N: Tensor
    """Index into the positions of each target, int64: one target per token that may follow."""
    tokens_N: Tensor
    """The token wanted next, int64."""
    weights_N: Tensor
    """Its share, float32; the shares of one position sum to 1."""
    views: Views | None = None
    """None: every token sees its document causally."""


class Encoder:
    """Turns a problem into token ids and targets."""

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self._tokenizer = tokenizer
        self.pad_id = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
        self._start_id = tokenizer.convert_tokens_to_ids(TURN_START)
        self._end_id = tokenizer.convert_tokens_to_ids(TURN_END)
        self._header = tokenizer.encode(f"{TURN_START}assistant\n")
        self._turn_ids = lru_cache(maxsize=100_000)(self._encode_turn)

    def encode(self, problem: Problem) -> Document:
        """Encode the dialogue; the targets are the assistant's tokens, the end of turn included."""
        ids = self._tokenizer.encode(render(self._tokenizer, problem))
        spans = self._assistant_spans(ids)
        speakers = [i for i, item in enumerate(problem.messages) if item["role"] == "assistant"]
        targets: list[Target] = []
        for message, span in zip(speakers, spans, strict=True):
            if message in problem.choices:
                targets += self._shared_targets(ids, span, problem.choices[message])
            else:
                targets += [(index - 1, ids[index], 1.0) for index in span]
        return Document(ids=ids, targets=targets)

    def _encode_turn(self, text: str) -> list[int]:
        return [*self._tokenizer.encode(text), self._end_id]

    def _assistant_spans(self, ids: list[int]) -> list[range]:
        """Find what the assistant says: after its header up to the end of turn, inclusive."""
        width, spans = len(self._header), list[range]()
        for index, token in enumerate(ids):
            if token == self._start_id and ids[index : index + width] == self._header:
                spans.append(range(index + width, ids.index(self._end_id, index) + 1))
        return spans

    def _shared_targets(
        self, ids: list[int], span: range, choices: Mapping[str, float]
    ) -> list[Target]:
        """Weigh, after each prefix of the text taken, every token a right text has next."""
        texts = [(self._turn_ids(text), share) for text, share in choices.items()]
        targets: list[Target] = []
        for depth, index in enumerate(span):
            shares: defaultdict[int, float] = defaultdict(float)
            for text_ids, share in texts:
                shares[text_ids[depth]] += share
            total = sum(shares.values())
            targets += [(index - 1, token, share / total) for token, share in shares.items()]
            taken = ids[index]
            texts = [pair for pair in texts if pair[0][depth] == taken]
        return targets


def batches(encoder: Encoder, problems: Iterable[Problem]) -> Iterator[Batch]:
    """Yield batches as buckets fill, in an order fixed by the order of the problems."""
    waiting: dict[int, list[Document]] = {length: [] for length in BUCKETS}
    for problem in problems:
        document = encoder.encode(problem)
        length = next((length for length in BUCKETS if len(document.ids) <= length), None)
        if length is None:
            continue
        waiting[length].append(document)
        if len(waiting[length]) == BATCH_TOKENS // length:
            yield collate(waiting[length], length, encoder.pad_id)
            waiting[length] = []


def collate(documents: list[Document], length: int, pad_id: int) -> Batch:
    """Pad documents to one length."""
    rows = [document.ids + [pad_id] * (length - len(document.ids)) for document in documents]
    targets = [
        (row * length + index, token, weight)
        for row, document in enumerate(documents)
        for index, token, weight in document.targets
    ]
    places, tokens, weights = zip(*targets, strict=True)
    positions = {place: index for index, place in enumerate(dict.fromkeys(places))}
    return Batch(
        ids_BT=torch.tensor(rows),
        positions_P=torch.tensor(list(positions)),
        where_N=torch.tensor([positions[place] for place in places]),
        tokens_N=torch.tensor(tokens),
        weights_N=torch.tensor(weights),
    )
