"""`weft model eval`: how often a model solves held-out problems, alone and in k tries.

A problem file is ``<skill>.jsonl``; a line holds ``id``, ``messages`` (the prompt), ``tools``
(JSON Schemas or null) and ``check`` (see `weft.runtime.model.checks`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from weft.errors import CallerError
from weft.programs.message import Message, ToolCall
from weft.programs.request import Request
from weft.programs.sampling import Sampling
from weft.programs.seeds import step_seed
from weft.runtime.cli.problem import closest
from weft.runtime.engine.protocol import Engine
from weft.runtime.model.checks import check, countdown_step
from weft.runtime.model.passk import pass_at_k

__all__ = ["EvalProblem", "Evaluation", "SkillScore", "evaluate", "load_problems"]

MAX_IN_FLIGHT = 32
"""Problems submitted at once: enough to fill a batch without queueing the whole set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalProblem:
    """One held-out problem: a prompt, and what makes an answer right."""

    problem_id: str
    skill: str
    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, object], ...]
    check: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What to measure."""

    num_samples: int = 0
    """Samples at temperature 1 for pass@k; 0 measures greedy answers only."""
    max_tokens: int = 256
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillScore:
    """Shares between 0 and 1 over the problems of one skill."""

    skill: str
    num_problems: int
    greedy: float
    pass_at: Mapping[int, float]
    """k to pass@k, for k = 1, 2, 4 … up to the number of samples."""

    def as_json(self) -> dict[str, object]:
        passes = {f"pass@{k}": share for k, share in self.pass_at.items()}
        return {"num_problems": self.num_problems, "greedy": self.greedy, **passes}


class _Answer(NamedTuple):
    is_greedy_right: bool
    num_right: int
    """Of the samples."""


def load_problems(
    folder: Path, skills: Sequence[str] = (), limit: int | None = None
) -> dict[str, list[EvalProblem]]:
    """The first ``limit`` problems of each skill wanted (none named: all).

    Raises CallerError for a folder without problems, an unknown skill or a damaged line.
    """
    files = {path.stem: path for path in sorted(folder.glob("*.jsonl"))}
    if not files:
        raise CallerError(f"{str(folder)!r} holds no problems.", remedy="Give <skill>.jsonl files.")
    for skill in skills:
        if skill not in files:
            raise CallerError(f"There is no skill {skill!r}.", remedy=closest(skill, files))
    return {skill: _read(files[skill], limit) for skill in skills or files}


async def evaluate(
    engine: Engine, problems: Sequence[EvalProblem], wanted: Evaluation
) -> SkillScore:
    """Answer the problems of one skill and score them; the same seed gives the same prompts
    and draws."""
    gate = asyncio.Semaphore(MAX_IN_FLIGHT)

    async def answer(problem: EvalProblem) -> _Answer:
        async with gate:
            return await _answer(engine, problem, wanted)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(answer(problem)) for problem in problems]
    return _score(problems[0].skill, [task.result() for task in tasks], wanted.num_samples)


def _score(skill: str, answers: Sequence[_Answer], num_samples: int) -> SkillScore:
    ks = [2**power for power in range(num_samples.bit_length()) if 2**power <= num_samples]
    return SkillScore(
        skill=skill,
        num_problems=len(answers),
        greedy=sum(answer.is_greedy_right for answer in answers) / len(answers),
        pass_at={
            k: sum(pass_at_k(num_samples, answer.num_right, k) for answer in answers) / len(answers)
            for k in ks
        },
    )


async def _answer(engine: Engine, problem: EvalProblem, wanted: Evaluation) -> _Answer:
    (greedy,) = await _texts(engine, problem, wanted, temperature=0.0, n=1)
    samples: list[str] = []
    if wanted.num_samples:
        samples = await _texts(engine, problem, wanted, temperature=1.0, n=wanted.num_samples)
    right = [check(problem.check, text) for text in samples]
    return _Answer(check(problem.check, greedy), sum(right))


async def _texts(
    engine: Engine, problem: EvalProblem, wanted: Evaluation, *, temperature: float, n: int
) -> list[str]:
    """``n`` answers: each one turn, or a game of several where the problem is one."""
    if problem.check["kind"] != "countdown":
        sampling = _sampling(wanted, problem, "", temperature=temperature)
        return await _generate(engine, problem, problem.messages, sampling, n=n)
    async with asyncio.TaskGroup() as group:
        games = [
            group.create_task(_play(engine, problem, wanted, f"/{game}", temperature=temperature))
            for game in range(n)
        ]
    return [game.result() for game in games]


async def _play(
    engine: Engine, problem: EvalProblem, wanted: Evaluation, name: str, *, temperature: float
) -> str:
    """One game of Countdown, one operation per line: the model names an operation, its result is
    computed for it, until one number is left or an operation is impossible."""
    state: Sequence[int] | None = problem.check["numbers"]
    messages, operations = list(problem.messages), list[str]()
    while state is not None and len(state) > 1:
        turn = f"{name}/{len(operations)}"
        sampling = _sampling(wanted, problem, turn, temperature=temperature)
        (operation,) = await _generate(engine, problem, messages, sampling, name=turn)
        operations.append(operation)
        state = countdown_step(state, operation)
        shown = f"{problem.check['target']}: {' '.join(map(str, state or ()))}"
        messages.append(Message(role="assistant", content=operation))
        messages.append(Message(role="user", content=shown))
    return "\n".join(operations)


def _sampling(
    wanted: Evaluation, problem: EvalProblem, turn: str, *, temperature: float
) -> Sampling:
    return Sampling(
        max_tokens=wanted.max_tokens,
        temperature=temperature,
        seed=step_seed(wanted.seed, f"{problem.skill}/{problem.problem_id}{turn}"),
    )


async def _generate(
    engine: Engine,
    problem: EvalProblem,
    messages: Sequence[Message],
    sampling: Sampling,
    *,
    name: str = "",
    n: int = 1,
) -> list[str]:
    request = Request(
        request_id=f"eval/{problem.skill}/{problem.problem_id}/t{sampling.temperature:g}{name}",
        prompt=engine.render(messages, problem.tools),
        sampling=sampling,
        n=n,
        run_id="eval",
    )
    texts = [""] * n
    async for delta in engine.submit(request):
        texts[delta.index] += delta.text
    return texts


def _read(path: Path, limit: int | None) -> list[EvalProblem]:
    lines = path.read_text(encoding="utf-8").splitlines()[:limit]
    problems: list[EvalProblem] = []
    for number, line in enumerate(lines, 1):
        try:
            problems.append(_parsed(path.stem, json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            raise CallerError(
                f"{path} line {number} is no problem: {type(error).__name__}: {error}.",
                remedy="A line is a JSON object with id, messages, tools and check.",
            ) from error
    if not problems:
        raise CallerError(f"{str(path)!r} is empty.", remedy="Give one problem per line.")
    return problems


def _parsed(skill: str, line: Mapping[str, Any]) -> EvalProblem:
    return EvalProblem(
        problem_id=str(line["id"]),
        skill=skill,
        messages=tuple(_message(message) for message in line["messages"]),
        tools=tuple(line.get("tools") or ()),
        check=line["check"],
    )


def _message(data: Mapping[str, Any]) -> Message:
    calls = (call.get("function", call) for call in data.get("tool_calls") or ())
    return Message(
        role=data["role"],
        content=data.get("content") or "",
        tool_calls=tuple(ToolCall(name=c["name"], arguments=c["arguments"]) for c in calls),
    )
