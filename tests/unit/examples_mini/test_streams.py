"""Decoding with a cache against the forward pass over what was decoded.

Shape suffixes: T tokens, S segments, W lanes.
"""

# pyright: reportUnknownMemberType=false

import json
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch

from examples.mini.documents import Document
from examples.mini.evaluate import WAYS, assemble, load, measure
from examples.mini.lanes import Lane, look, team
from examples.mini.mixture import heldout_problems
from examples.mini.problem import Problem
from examples.mini.reader import Entry, Reader
from examples.mini.segments import collate_segments, stream
from examples.mini.trunk import Trunk
from tests.unit.examples_mini.test_segments import END, tiny_model
from weft.runtime.model import MINI
from weft.runtime.model.checks import check

PROMPT = [3, 1, 4, 1, 5]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Products of one token are too small to share: threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def written_by_reader(num_lanes: int, num_steps: int) -> list[list[int]]:
    """Let lanes of the tiny model write so many tokens each."""
    reader = Reader(tiny_model(), num_segments=1 + num_lanes, num_places=20)
    _, seen_TS, turns_TS = stream(Document(ids=PROMPT, targets=[]), 0, (), 1 + num_lanes)
    reader.feed([Entry(0, 0, PROMPT, seen_TS, turns_TS)])
    lanes = [list[int]() for _ in range(num_lanes)]
    new = [[9, 10 + lane] for lane in range(num_lanes)]
    for _ in range(num_steps):
        firsts = [len(ids) for ids in lanes]
        for ids, tokens in zip(lanes, new, strict=True):
            ids += tokens
        lengths = np.array([len(ids) for ids in lanes])
        entries = list[Entry]()
        for lane, (first, tokens) in enumerate(zip(firsts, new, strict=True)):
            places_T = np.arange(first, first + len(tokens))
            views = look(len(PROMPT), lane, np.tile(lengths, (len(tokens), 1)), places_T)
            entries.append(Entry(1 + lane, first, tokens, *views))
        new = [[token] for token in reader.feed(entries)]
    return [[*ids, *tokens] for ids, tokens in zip(lanes, new, strict=True)]


@pytest.mark.parametrize("num_lanes", [1, 3])
@torch.inference_mode()
def test_what_lanes_write_is_what_the_forward_pass_expects(num_lanes: int) -> None:
    model, lanes = tiny_model(), written_by_reader(num_lanes, 6)
    document = team(PROMPT, [Lane(ids[:-1], 2, 0) for ids in lanes], END)
    batch = collate_segments([document], 0)
    assert batch.views is not None
    best_T = model.lm_head(Trunk(model)(batch.ids_BT, batch.views))[0].argmax(-1).tolist()
    for ids, (start, end) in zip(lanes, list(pairwise(batch.views.starts))[1:], strict=True):
        assert best_T[start + 1 : end] == ids[2:]


def arguments_problem() -> Problem:
    return next(
        problem for problem in heldout_problems("arguments", 0, 20) if len(problem.tools or ()) > 1
    )


def test_a_call_is_assembled_from_its_parts() -> None:
    problem = arguments_problem()
    name, wanted = problem.check["name"], problem.check["arguments"]
    assert isinstance(name, str) and isinstance(wanted, dict)
    values = {key: json.dumps(value) for key, value in wanted.items()}
    assert check(problem.check, assemble(problem, name, {**values, "other": "1"}))
    assert not check(problem.check, assemble(problem, "nothing", values))


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_the_bundled_model_solves_most_problems_every_way(way: str) -> None:
    skill, answer = WAYS[way]
    score = measure(load(MINI), heldout_problems(skill, 0, 6), answer)
    assert score.right >= 0.5


@pytest.mark.slow
def test_lanes_of_the_bundled_model_share_a_list_because_they_see_it() -> None:
    streams, problems = load(MINI), heldout_problems("lists", 0, 8)
    seeing = measure(streams, problems, WAYS["lists, 4 lanes"][1])
    blind = measure(streams, problems, WAYS["lists, 4 blind lanes"][1])
    alone = measure(streams, problems, WAYS["lists, 1 lane"][1])
    assert seeing.repeated < 0.1 < 2 < blind.repeated
    assert seeing.num_steps < 0.5 * alone.num_steps
