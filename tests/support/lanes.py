"""Teams to test with, and one by the letter: every lane's view is written out, token by token.

It knows nothing of tables, places or turns: what a token sees is a list, and how far away each
entry is, the distance in that list.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import PreTrainedModel

from tests.support.dense import dense_forward
from weft.programs.lane import Lane, Layout, Team
from weft.programs.request import Request
from weft.programs.sampling import Sampling

__all__ = ["Drawn", "NaiveTeam", "Turn", "team_of", "tokens", "turn"]

Ids = Sequence[int]


class Turn(NamedTuple):
    """What a lane is given and writes once more, after its last token was drawn."""

    lane: int
    step: int
    given: Ids
    written: Ids


def tokens(rng: random.Random, count: int, end: int = 300) -> tuple[int, ...]:
    return tuple(rng.choices(range(10, end), k=count))


def team_of(layout: Layout, lanes: int, rng: random.Random, **more: Any) -> Team:
    """With room for 60 tokens in each lane."""
    values: dict[str, Any] = {
        "team_id": "team",
        "prompt": tokens(rng, 9),
        "max_lanes": lanes,
        "lane_tokens": 60,
    }
    return Team(layout=layout, num_lanes=lanes, **(values | more))


def turn(team: Team, lane: int, given: Ids, max_tokens: int, **more: Any) -> Request:
    """Greedy, with log-probabilities where they can be had."""
    values: dict[str, Any] = {
        "temperature": 0.0,
        "max_tokens": max_tokens,
        "ignore_eos": True,
        "logprobs": None if team.has_insertions else 0,
        "seed": 3,
    }
    more.setdefault("request_id", f"{team.team_id} {lane}/{len(given)}")
    return Request(
        prompt=tuple(given),
        lane=Lane(team=team, index=lane),
        sampling=Sampling(**(values | more.pop("sampling", {}))),
        **more,
    )


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
        self.ends: list[int] = []
        """Tokens of ``own`` with which a step is over."""

    @property
    def is_over(self) -> bool:
        return not self.pending

    def go_on(self, last: Ids, turn: Turn) -> None:
        """``last``: what was drawn at its end, and is still to be computed."""
        self.pending = [*last, *turn.given]
        self.rest = list(turn.written)
        self.num_tokens += len(turn.given)
        self.wrote = []

    def draw(self) -> int:
        self.num_tokens += 1
        return self.rest.pop(0)


class NaiveTeam:
    """Writes once more what lanes wrote, given it. ``starts`` are the steps at which lanes come,
    0 unless given; ``turns`` what lanes are asked afterwards."""

    def __init__(
        self,
        team: Team,
        lanes: Sequence[tuple[Ids, Ids]],
        *,
        starts: Sequence[int] = (),
        turns: Sequence[Turn] = (),
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
        self.num_merged = 0
        """Steps that became history."""
        self.num_given = 0
        """Tokens that lanes were given while they wrote."""
        starts = starts or [0] * len(lanes)
        self._streams = [
            _Stream(given, written, start)
            for (given, written), start in zip(lanes, starts, strict=True)
        ]
        self._turns = list(turns)
        step = 0
        while self._turns or not all(stream.is_over for stream in self._streams):
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
            while stream.ends and stream.ends[0] <= len(stream.own):
                count = stream.ends.pop(0)
                stream.ends = [end - count for end in stream.ends]
                self._history += stream.own[:count]
                del stream.own[:count]
                self.num_merged += 1
        self._take_turns(step)
        writing = [one for one in self._streams if not one.is_over and one.start <= step]
        new = [[self._add(token_id) for token_id in stream.pending] for stream in writing]
        for stream, numbers in zip(writing, new, strict=True):
            stream.own += numbers
        for stream, numbers in zip(writing, new, strict=True):
            self._look(stream, numbers)
        for stream, numbers in zip(writing, new, strict=True):
            self._draw(stream, numbers[-1])

    def _take_turns(self, step: int) -> None:
        for turn in [turn for turn in self._turns if turn.step == step]:
            stream = self._streams[turn.lane]
            assert stream.is_over, "the lane is still writing"
            last = next(one for one in reversed(self.drawn) if one.lane == turn.lane)
            stream.go_on([last.token_id], turn)
            self._turns.remove(turn)

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
            if self._team.has_steps:
                stream.ends = [end for end in stream.ends if end < len(stream.own)]
                stream.ends.append(len(stream.own))

    def _go_on(self, stream: _Stream, token_id: int) -> None:
        team = self._team
        stream.wrote.append(token_id)
        is_end = bool(team.step_ends) and self._decode(stream.wrote).endswith(team.step_ends)
        if is_end:
            stream.wrote = []
            stream.num_steps += 1
            if team.has_steps:
                stream.ends.append(len(stream.own) + 1)
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
        self.num_given += len(ids)
