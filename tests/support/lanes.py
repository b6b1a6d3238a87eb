"""A team of lanes by the letter: every lane's view is written out, token by token.

It knows nothing of tables, places or turns: what a token sees is a list, and how far away each
entry is, the distance in that list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from transformers import PreTrainedModel

from tests.support.dense import dense_forward
from weft.programs.lane import Team

__all__ = ["Drawn", "NaiveTeam"]

Ids = Sequence[int]


class Drawn(NamedTuple):
    """A token of a lane, and the token (by number) whose logits it was drawn from."""

    lane: int
    token_id: int
    number: int


class _Stream:
    """One lane: what it is given, and what is known that it will write."""

    def __init__(self, given: Ids, written: Ids, start: int) -> None:
        self.pending = list(given)
        self.rest = list(written)
        self.start = start
        self.num_tokens = len(given)
        self.num_asked = self.num_steps = 0
        self.own: list[int] = []
        """Tokens of its present step, by number."""
        self.wrote: list[int] = []
        """Ids since it began to write its present step."""
        self.num_ending = 0
        """Tokens that its step will have once they are computed; 0: it goes on."""

    @property
    def is_over(self) -> bool:
        return not self.pending

    def draw(self) -> int:
        self.num_tokens += 1
        return self.rest.pop(0)


class NaiveTeam:
    """Writes once more what lanes wrote, given it. ``starts`` are the steps at which lanes come,
    0 unless given."""

    def __init__(
        self,
        team: Team,
        lanes: Sequence[tuple[Ids, Ids]],
        *,
        starts: Sequence[int] = (),
        encode: Callable[[str], Ids] = lambda _: (),
        decode: Callable[[Ids], str] = lambda _: "",
    ) -> None:
        self._team = team
        self._encode, self._decode = encode, decode
        self.tokens: list[int] = []
        self.drawn: list[Drawn] = []
        self._sees: list[dict[int, int]] = []
        """Of every token what it sees, by number, and how far away that is."""
        self._prompt = self._line(team.prompt, [])
        self._others = self._line(team.others_header, self._prompt)
        self._header = self._line(team.own_header, [*self._prompt, *self._others])
        self._history: list[int] = []
        starts = starts or [0] * len(lanes)
        self._streams = [
            _Stream(given, written, start)
            for (given, written), start in zip(lanes, starts, strict=True)
        ]
        step = 0
        while not all(stream.is_over for stream in self._streams):
            self._step(step)
            step += 1

    def logprobs(self, model: PreTrainedModel) -> torch.Tensor:
        """[drawn, V]: of a dense forward over all tokens at once."""
        count = len(self.tokens)
        distances_TT = np.zeros((count, count), np.int64)
        is_seen_TT = np.zeros((count, count), np.bool_)
        for token, seen in enumerate(self._sees):
            distances_TT[token, list(seen)] = list(seen.values())
            is_seen_TT[token, list(seen)] = True
        logits_TV = dense_forward(model, self.tokens, distances_TT, torch.from_numpy(is_seen_TT))
        return logits_TV[[one.number for one in self.drawn]].log_softmax(-1)

    def _line(self, ids: Ids, before: Sequence[int]) -> list[int]:
        """An ordinary causal row."""
        row = list(before)
        for token_id in ids:
            row.append(self._add(token_id))
            self._sees[-1] = {number: len(row) - 1 - at for at, number in enumerate(row)}
        return row[len(before) :]

    def _add(self, token_id: int) -> int:
        self.tokens.append(token_id)
        self._sees.append({})
        return len(self.tokens) - 1

    def _step(self, step: int) -> None:
        for stream in self._streams:
            if 0 < stream.num_ending <= len(stream.own):
                self._history += stream.own[: stream.num_ending]
                del stream.own[: stream.num_ending]
                stream.num_ending = 0
        writing = [one for one in self._streams if not one.is_over and one.start <= step]
        new = [[self._add(token_id) for token_id in stream.pending] for stream in writing]
        for stream, numbers in zip(writing, new, strict=True):
            stream.own += numbers
        for stream, numbers in zip(writing, new, strict=True):
            self._look(stream, numbers)
        for stream, numbers in zip(writing, new, strict=True):
            self._draw(stream, numbers[-1])

    def _look(self, stream: _Stream, numbers: Sequence[int]) -> None:
        others: list[int] = []
        if self._team.sees_others:
            others = [n for other in self._streams if other is not stream for n in other.own]
        view = [
            *self._prompt,
            *self._history,
            *self._others,
            *others,
            *self._header,
            *stream.own,
        ]
        for number in numbers:
            place = view.index(number)
            self._sees[number] = {each: place - at for at, each in enumerate(view[: place + 1])}

    def _draw(self, stream: _Stream, number: int) -> None:
        token_id = stream.draw()
        self.drawn.append(Drawn(self._streams.index(stream), token_id, number))
        stream.pending = [token_id]
        if stream.rest:
            self._go_on(stream, token_id)
        if not stream.rest:
            # Nothing is drawn behind the last token, and it is never computed.
            stream.pending = []
            stream.num_ending = len(stream.own) if self._team.has_steps else 0

    def _go_on(self, stream: _Stream, token_id: int) -> None:
        team = self._team
        stream.wrote.append(token_id)
        is_end = bool(team.step_ends) and self._decode(stream.wrote).endswith(team.step_ends)
        if is_end:
            stream.wrote = []
            stream.num_steps += 1
            stream.num_ending = (len(stream.own) + 1) * team.has_steps
            lane = self._streams.index(stream)
            self._give(stream, team.head_of(lane + 1, stream.num_steps + 1))
        is_due = stream.num_tokens - stream.num_asked >= max(1, team.question_every)
        if team.question and is_due and (is_end or not team.step_ends):
            self._give(stream, team.question)
            stream.num_asked = stream.num_tokens

    def _give(self, stream: _Stream, text: str) -> None:
        ids = list(self._encode(text))[: len(stream.rest)] if text else []
        assert [stream.draw() for _ in ids] == ids, "the lane was given something else"
        stream.pending += ids
