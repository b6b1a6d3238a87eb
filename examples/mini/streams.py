"""Greedy answers of several streams: lanes on a list, branches of a call, a plan and its parts."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from transformers import Qwen3ForCausalLM

from examples.mini.branches import BranchEncoder, joined
from examples.mini.chat_tokenizer import ChatTokenizer
from examples.mini.documents import Document
from examples.mini.lanes import head, look
from examples.mini.outline import FORM
from examples.mini.problem import Problem
from examples.mini.reader import Entry, Reader
from examples.mini.segments import Seen, stream
from examples.mini.tokenizer import TURN_END
from weft.errors import OutputInvalid

MAX_BRANCHES = 8
MAX_TOKENS = 512
"""Longest text of one stream, its given part included."""


class Answer(NamedTuple):
    """What the streams of one document wrote."""

    texts: list[str]
    """Without what was given to them; but the conclusion of an outline has its beginning."""
    num_steps: int
    """Tokens of the longest."""

    @property
    def joined(self) -> str:
        """All that was written."""
        return "".join(self.texts)


class Streams:
    """Answers one document at a time; all its streams write in step."""

    def __init__(self, model: Qwen3ForCausalLM, tokenizer: ChatTokenizer) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._encoder = BranchEncoder(tokenizer)

    def alone(self, problem: Problem) -> Answer:
        """Let one stream answer, as a plain request."""
        reader, prompt = self._reader(0), self._encoder.prompt(problem)
        return self._answer([_write(reader, [_Stream(0, prompt, ())], self._is_over(""))[0]])

    def lanes(self, problem: Problem, count: int, *, is_blind: bool = False) -> Answer:
        """Let lanes that see each other, or do not, solve a list."""
        reader, prompt = self._reader(count), self._encoder.prompt(problem)
        _read(reader, prompt)
        given = [self._encoder.encode(head(lane, count)) for lane in range(1, count + 1)]
        lanes, new = [list[int]() for _ in given], [list(ids) for ids in given]

        def entry(lane: int, lengths: Sequence[int]) -> Entry:
            shown = [0 if is_blind and other != lane else n for other, n in enumerate(lengths)]
            places_T = np.arange(len(lanes[lane]) - len(new[lane]), len(lanes[lane]))
            lengths_TW = np.tile(np.array(shown), (len(places_T), 1))
            views = look(len(prompt), lane, lengths_TW, places_T)
            return Entry(1 + lane, int(places_T[0]), new[lane], *views)

        while active := [lane for lane in range(count) if new[lane]]:
            for lane in active:
                lanes[lane] += new[lane]
            lengths = [len(ids) for ids in lanes]
            best = reader.feed([entry(lane, lengths) for lane in active])
            for lane, token in zip(active, best, strict=True):
                is_over = token == self._encoder.end_id or lengths[lane] == MAX_TOKENS
                new[lane] = [] if is_over else [token]
        return self._answer([ids[len(start) :] for ids, start in zip(lanes, given, strict=True)])

    def branches(self, problem: Problem, heads: Sequence[str]) -> Answer:
        """Go on from one prompt by every head at once, to the end of turn."""
        reader, prompt = self._reader(len(heads)), self._encoder.prompt(problem)
        _read(reader, prompt)
        return self._answer(self._branch(reader, len(prompt), heads, ""))

    def outline(self, problem: Problem) -> Answer:
        """Plan, let every part of the plan be written by a branch, and conclude."""
        reader, prompt = self._reader(MAX_BRANCHES + 1), self._encoder.prompt(problem)
        (plan,) = _write(reader, [_Stream(0, prompt, ())], self._is_over(FORM.plan_end))
        heads = self._planned(self._tokenizer.decode(plan))
        if not heads:
            return self._answer([plan])
        goal = len(prompt) + len(plan)
        paths = self._branch(reader, goal, heads, FORM.tail)
        starts = (self._encoder.encode(start) for start in heads)
        lengths = [len(start) + len(path) for start, path in zip(starts, paths, strict=True)]
        given = self._encoder.encode(FORM.join)
        conclusion = _Stream(MAX_BRANCHES + 1, given, joined(goal, lengths))
        written = _write(reader, [conclusion], self._is_over(""))
        return self._answer([plan, *paths, given + written[0]])

    def _planned(self, plan: str) -> list[str]:
        """The heads of a plan's branches; none when it is no plan."""
        try:
            return [FORM.head_of(branch) for branch in FORM.plan(plan)][:MAX_BRANCHES]
        except OutputInvalid:
            return []

    def _reader(self, num_streams: int) -> Reader:
        return Reader(self._model, num_segments=1 + num_streams, num_places=MAX_TOKENS)

    def _branch(
        self, reader: Reader, goal: int, heads: Sequence[str], tail: str
    ) -> list[list[int]]:
        trunk = (Seen(0, goal, goal),)
        streams = [
            _Stream(number, self._encoder.encode(start), trunk)
            for number, start in enumerate(heads, 1)
        ]
        return _write(reader, streams, self._is_over(tail))

    def _is_over(self, tail: str) -> Callable[[list[int]], bool]:
        """Whether a text ends with the end of turn or, where there is one, with `tail`."""

        def is_over(written: list[int]) -> bool:
            is_told = written[-1:] == [self._encoder.end_id]
            return is_told or (tail != "" and self._tokenizer.decode(written).endswith(tail))

        return is_over

    def _answer(self, written: Sequence[list[int]]) -> Answer:
        texts = [self._tokenizer.decode(ids).removesuffix(TURN_END) for ids in written]
        return Answer(texts, max(len(ids) for ids in written))


class _Stream(NamedTuple):
    """One stream to be written: its segment, what it is given, what else it sees."""

    segment: int
    given: list[int]
    earlier: Sequence[Seen]


def _read(reader: Reader, prompt: list[int]) -> None:
    """Write a prompt to the first segment."""
    views = stream(Document(ids=prompt, targets=[]), 0, (), reader.num_segments)
    reader.feed([Entry(0, 0, prompt, views.seen_TS, views.turns_TS)])


def _write(
    reader: Reader, streams: Sequence[_Stream], is_over: Callable[[list[int]], bool]
) -> list[list[int]]:
    """Let streams write in step until each is over; return what they wrote.

    A last token that ends a turn is never read.
    """
    ids, num_read = [list(item.given) for item in streams], [0] * len(streams)
    active = list(range(len(streams)))
    while active:
        entries = list[Entry]()
        for index in active:
            own, _, earlier = streams[index]
            first, num_read[index] = num_read[index], len(ids[index])
            document = Document(ids=ids[index], targets=[])
            _, seen_TS, turns_TS = stream(document, own, earlier, reader.num_segments)
            entries.append(Entry(own, first, ids[index][first:], seen_TS[first:], turns_TS[first:]))
        for index, token in zip(active, reader.feed(entries), strict=True):
            ids[index].append(token)
        active = [
            index
            for index in active
            if len(ids[index]) < MAX_TOKENS and not is_over(ids[index][len(streams[index].given) :])
        ]
    return [each[len(item.given) :] for each, item in zip(ids, streams, strict=True)]
