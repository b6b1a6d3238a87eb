"""The second stage's mixture: the skills of the first, and those of several streams."""

from collections.abc import Iterator, Mapping
from random import Random

from examples.mini import arguments, lists, outline, tool_calls
from examples.mini.branches import BranchEncoder
from examples.mini.chat_tokenizer import ChatTokenizer
from examples.mini.documents import Batch, Encoder, batches
from examples.mini.lanes import draw_team, head
from examples.mini.mixture import training_problems
from examples.mini.problem import Generator, Problem
from examples.mini.segments import Segment, segment_batches

WEIGHTS: Mapping[str, int] = {
    "first stage": 48,
    "alone": 10,
    "lists": 22,
    "outline": 8,
    "arguments": 12,
}
"""Batches of each kind in a hundred. `alone` are the new skills as one stream writes them."""
ALONE: Mapping[Generator, int] = {lists.draw: 4, outline.draw: 2, arguments.draw: 5}
TOOLS_SHARE = 0.15
"""Share of calls that are of the first stage's tools, with one argument."""
TEAMS: Mapping[int, int] = {1: 2, 2: 6, 3: 3, 4: 9}
"""Numbers of lanes with their weights."""
EVEN_SHARE = 0.4
"""Share of lists whose items are of like length."""


class Documents:
    """Draws documents of several segments without end, none of a held-out problem."""

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self._encoder = BranchEncoder(tokenizer)

    def lists(self, rng: Random) -> Iterator[list[Segment]]:
        """Draw lists that one to four lanes share."""
        encode = self._encoder.encode
        while True:
            is_even = rng.random() < EVEN_SHARE
            items = lists.draw_even_items(rng) if is_even else lists.draw_items(rng)
            problem = lists.problem(items)
            count = rng.choices(list(TEAMS), list(TEAMS.values()))[0]
            if not problem.is_heldout:
                heads = [encode(head(lane, count)) for lane in range(1, count + 1)]
                lines = [encode(line) for line in lists.solved(items)]
                prompt = self._encoder.prompt(problem)
                yield draw_team(rng, prompt, heads, lines, self._encoder.end_id)

    def outlines(self, rng: Random) -> Iterator[list[Segment]]:
        """Draw plans with their branches and conclusions."""
        while True:
            item = outline.draw_outline(rng)
            problem = outline.problem(item)
            if not problem.is_heldout:
                yield self._encoder.outline(rng, item, self._encoder.prompt(problem))

    def calls(self, rng: Random) -> Iterator[list[Segment]]:
        """Draw tool calls in branches."""
        while True:
            is_first_stage = rng.random() < TOOLS_SHARE
            problem = (tool_calls if is_first_stage else arguments).draw(rng)
            if problem.check["kind"] == "tool_call" and not problem.is_heldout:
                yield self._encoder.call(rng, problem)


def alone(rng: Random) -> Iterator[Problem]:
    """Yield problems of the new skills for one stream, held-out ones left out."""
    while True:
        problem = rng.choices(list(ALONE), list(ALONE.values()))[0](rng)
        if not problem.is_heldout:
            yield problem


def training_batches(tokenizer: ChatTokenizer, seed: str) -> Iterator[Batch]:
    """Yield batches of the second stage without end; the same for the same seed."""
    encoder, documents = Encoder(tokenizer), Documents(tokenizer)
    rngs = {name: Random(f"{seed}/{name}") for name in WEIGHTS}
    streams: dict[str, Iterator[Batch]] = {
        "first stage": batches(encoder, training_problems(rngs["first stage"])),
        "alone": batches(encoder, alone(rngs["alone"])),
    }
    makers = {"lists": documents.lists, "outline": documents.outlines, "arguments": documents.calls}
    for name, make in makers.items():
        order = Random(f"{seed}/{name}/order")
        streams[name] = segment_batches(make(rngs[name]), encoder.pad_id, order)
    rng = Random(seed)
    while True:
        yield next(streams[rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]])
