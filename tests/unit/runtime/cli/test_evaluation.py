"""Evaluation against an engine whose answers are known, so that every share is known too."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path

import pytest

from weft.errors import CallerError
from weft.programs.message import Message
from weft.programs.past import Past
from weft.programs.request import Delta, Request
from weft.runtime.cli.evaluation import Evaluation, evaluate, load_problems
from weft.runtime.engine.protocol import Capabilities, EngineStats


class KnowsHalf:
    """Answers each prompt's text back when greedy; of n samples, every other one is right."""

    name = "half"
    capabilities = Capabilities(max_context=1000)

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def encode(self, text: str, *, has_controls: bool = False) -> tuple[int, ...]:
        return tuple(text.encode())

    def decode(self, token_ids: Sequence[int]) -> str:
        return bytes(token_ids).decode()

    def render(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, object]] = ()
    ) -> tuple[int, ...]:
        return self.encode(messages[-1].content)

    async def submit(self, request: Request) -> AsyncGenerator[Delta, None]:
        self.requests.append(request)
        right = self.decode(request.prompt)
        for index in range(request.n):
            first, rest = (right[:1], right[1:]) if index % 2 == 0 else ("no", "pe")
            yield Delta(index=index, text=first)
            yield Delta(index=index, text=rest, finish_reason="stop")

    async def cancel(self, request_id: str, indices: Sequence[int] | None = None) -> None:
        raise NotImplementedError

    async def score(
        self, prompt: Sequence[int], target: Sequence[int], *, past: Past | None = None
    ) -> tuple[float, ...]:
        raise NotImplementedError

    def stats(self) -> EngineStats:
        return EngineStats()

    async def close(self) -> None:
        return None


def write_problems(folder: Path, skill: str, answers: Sequence[tuple[str, str]]) -> None:
    lines = [
        json.dumps(
            {
                "id": f"{skill}-{number}",
                "messages": [{"role": "user", "content": asked}],
                "tools": None,
                "check": {"kind": "exact", "answer": right},
            }
        )
        for number, (asked, right) in enumerate(answers)
    ]
    (folder / f"{skill}.jsonl").write_text("\n".join(lines))


async def test_shares_are_those_of_the_answers(tmp_path: Path) -> None:
    write_problems(tmp_path, "echo", [("tea", "tea"), ("milk", "water"), ("ant", "ant")])
    (problems,) = load_problems(tmp_path).values()
    score = await evaluate(KnowsHalf(), problems, Evaluation(num_samples=4))
    assert score.num_problems == 3
    assert score.greedy == pytest.approx(2 / 3)
    # Two of four samples are right for two of three problems.
    assert score.pass_at == pytest.approx({1: 1 / 3, 2: (2 / 3) * (5 / 6), 4: 2 / 3})
    assert set(score.as_json()) == {"num_problems", "greedy", "pass@1", "pass@2", "pass@4"}


async def test_greedy_alone_draws_no_samples(tmp_path: Path) -> None:
    write_problems(tmp_path, "echo", [("tea", "tea")])
    (problems,) = load_problems(tmp_path).values()
    engine = KnowsHalf()
    score = await evaluate(engine, problems, Evaluation(max_tokens=7))
    assert score.pass_at == {}
    (request,) = engine.requests
    assert (request.n, request.sampling.temperature, request.sampling.max_tokens) == (1, 0.0, 7)


class PlaysAlong(KnowsHalf):
    """Knows the three operations of one game; sampled, it opens every other game wrong."""

    MOVES: Mapping[str, str] = {
        "24: 3 5 8 12": "12-5",
        "24: 3 7 8": "8-7",
        "24: 1 3": "3*1",
    }

    async def submit(self, request: Request) -> AsyncGenerator[Delta, None]:
        self.requests.append(request)
        move = self.MOVES[self.decode(request.prompt)]
        is_bad = request.sampling.temperature > 0 and "/1/" in request.request_id
        yield Delta(index=0, text="1+1" if is_bad else move, finish_reason="stop")


@pytest.mark.parametrize(("target", "share"), [(3, 1.0), (24, 0.0)])
async def test_countdown_is_played_turn_by_turn(tmp_path: Path, target: int, share: float) -> None:
    engine = PlaysAlong()
    engine.MOVES = {k.replace("24:", f"{target}:"): v for k, v in engine.MOVES.items()}
    line = {
        "id": "g",
        "messages": [{"role": "user", "content": f"{target}: 3 5 8 12"}],
        "check": {"kind": "countdown", "numbers": [3, 5, 8, 12], "target": target},
    }
    (tmp_path / "countdown.jsonl").write_text(json.dumps(line))
    (problems,) = load_problems(tmp_path).values()
    score = await evaluate(engine, problems, Evaluation(num_samples=2))
    assert score.greedy == share
    assert score.pass_at == {1: share / 2, 2: share}
    # A greedy game and a whole sampled one of three turns each, and one that ended at once.
    assert len(engine.requests) == len({r.request_id for r in engine.requests}) == 7
    assert len({r.sampling.seed for r in engine.requests}) == 7 - 3


def test_skills_and_limit_choose_problems(tmp_path: Path) -> None:
    write_problems(tmp_path, "echo", [("a", "a"), ("b", "b")])
    write_problems(tmp_path, "sql", [("c", "c")])
    assert {k: len(v) for k, v in load_problems(tmp_path).items()} == {"echo": 2, "sql": 1}
    chosen = load_problems(tmp_path, ["echo"], limit=1)
    assert [problem.problem_id for problem in chosen["echo"]] == ["echo-0"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "line 1 is no problem"),
        ('{"id": 1}', "KeyError: 'messages'"),
        ("[]", "TypeError"),
        ("", "is empty"),
    ],
)
def test_damaged_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "echo.jsonl").write_text(text)
    with pytest.raises(CallerError, match=said):
        load_problems(tmp_path)


def test_unknown_skill_and_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="holds no problems"):
        load_problems(tmp_path)
    write_problems(tmp_path, "countdown", [("a", "a")])
    with pytest.raises(CallerError, match="Did you mean 'countdown'"):
        load_problems(tmp_path, ["count"])
