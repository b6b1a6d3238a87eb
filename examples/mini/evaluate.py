"""Measure every skill on its held-out problems: `python -m examples.mini.evaluate`."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from examples.mini import countdown
from examples.mini.chat_tokenizer import Messages
from examples.mini.mixture import SKILLS
from examples.mini.problem import JsonValue
from examples.mini.sampler import Sampler
from weft.runtime.model.checks import Check, check, countdown_step
from weft.runtime.model.passk import pass_at_k

MAX_TOKENS = 160
MAX_STEP_TOKENS = 10
NUM_STEPS = 3
SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One held-out problem."""

    skill: str
    messages: Messages
    tools: Messages | None
    rule: Check


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How one skill did."""

    greedy: float
    """Share of problems solved at temperature 0."""
    right: Sequence[int]
    """Right samples of each problem at the sampling temperature."""
    samples: int
    """Samples of each problem."""

    def pass_at(self, k: int) -> float:
        """Mean unbiased estimate of pass@k."""
        return sum(pass_at_k(self.samples, c, k) for c in self.right) / len(self.right)

    def figures(self) -> dict[str, float]:
        """Name every figure: greedy, and pass@k for powers of two up to the samples."""
        named = {"greedy": self.greedy}
        for k in (1, 4, 8, 16, 64):
            if k <= self.samples:
                named[f"pass@{k}"] = self.pass_at(k)
        return {name: round(value, 3) for name, value in named.items()}


def load_rows(folder: Path, skill: str, limit: int) -> list[Row]:
    """Read a held-out file, at most `limit` rows."""
    text = (folder / "heldout" / f"{skill}.jsonl").read_text(encoding="utf-8")
    return [_parse(line) for line in text.splitlines()[:limit]]


def _parse(line: str) -> Row:
    fields = json.loads(line)
    return Row(
        skill=fields["skill"],
        messages=fields["messages"],
        tools=fields["tools"],
        rule=fields["check"],
    )


def solve(sampler: Sampler, rows: Sequence[Row], temperature: float) -> list[bool]:
    """Answer every row once and check it."""
    if rows[0].skill == "countdown":
        texts = play_countdown(sampler, rows, temperature)
    else:
        prompts = [sampler.prompt(row.messages, row.tools) for row in rows]
        texts = sampler.sample(prompts, max_tokens=MAX_TOKENS, temperature=temperature)
    return [check(row.rule, text) for row, text in zip(rows, texts, strict=True)]


def play_countdown(sampler: Sampler, rows: Sequence[Row], temperature: float) -> list[str]:
    """Play every instance to its end: the model names an operation, the program computes it."""
    games = [Game(row) for row in rows]
    for _ in range(NUM_STEPS):
        alive = [game for game in games if game.state is not None]
        texts = sampler.sample(
            [sampler.prompt(game.messages) for game in alive],
            max_tokens=MAX_STEP_TOKENS,
            temperature=temperature,
        )
        for game, text in zip(alive, texts, strict=True):
            game.play(text)
    return ["\n".join(game.operations) for game in games]


class Game:
    """One Countdown instance being played; mutated by `play`."""

    def __init__(self, row: Row) -> None:
        numbers = row.rule["numbers"]
        assert isinstance(numbers, Sequence)
        self._target = int(str(row.rule["target"]))
        self.state: tuple[int, ...] | None = tuple(int(str(number)) for number in numbers)
        self.messages: list[Mapping[str, JsonValue]] = list(row.messages)
        self.operations: list[str] = []

    def play(self, operation: str) -> None:
        """Apply one operation; an impossible one ends the game."""
        assert self.state is not None
        self.operations.append(operation)
        self.state = countdown_step(self.state, operation)
        if self.state is not None:
            shown = countdown.show(self._target, self.state)
            self.messages.append({"role": "assistant", "content": operation})
            self.messages.append({"role": "user", "content": shown})


def measure(sampler: Sampler, rows: Sequence[Row], samples: int, temperature: float) -> Score:
    """Measure one skill, greedily and by sampling."""
    greedy = solve(sampler, rows, 0.0)
    flat = solve(sampler, [row for row in rows for _ in range(samples)], temperature)
    right = [sum(flat[start : start + samples]) for start in range(0, len(flat), samples)]
    return Score(greedy=sum(greedy) / len(greedy), right=right, samples=samples)


def main() -> None:
    """Read the command line, measure, print one JSON object per skill."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("runtime/assets/mini"))
    parser.add_argument("--assets", type=Path, default=Path("runtime/assets/mini"))
    parser.add_argument("--skills", nargs="*", default=list(SKILLS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--countdown-samples", type=int, default=64)
    parser.add_argument("--temperature", type=float, default=1.0)
    args = parser.parse_args()
    sampler = Sampler(args.model, args.device)
    torch.manual_seed(SEED)  # pyright: ignore[reportUnknownMemberType]
    for skill in args.skills:
        rows = load_rows(args.assets, skill, args.limit)
        samples = args.countdown_samples if skill == "countdown" else args.samples
        score = measure(sampler, rows, samples, args.temperature)
        print(json.dumps({"skill": skill, "problems": len(rows), **score.figures()}), flush=True)


if __name__ == "__main__":
    main()
