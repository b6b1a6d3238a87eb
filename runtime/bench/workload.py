"""What every engine is asked to do: the same random prompts, a fixed number of tokens, greedily."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, Protocol

from weft.errors import PeerFailed

__all__ = ["Generator", "Workload"]

FIRST_TOKEN, LAST_TOKEN = 16, 255
"""Ids that are in every vocabulary and are not control tokens."""
PILOT_TOKENS = 4
PILOT_S, MAX_PILOTS = 0.3, 5
SHORT_S = 1.0
MAX_TOKENS = 128
MIN_TOKENS = 8
MIN_PREFILL_S = 0.4
NUM_ATTEMPTS = 3


class Generator(Protocol):
    """What generates: a Driver."""

    @property
    def peer(self) -> str: ...

    def call(self, operation: str, *, timeout_s: float = 300.0, **arguments: object) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One point to measure, for one model."""

    model: str
    phase: Literal["decode", "prefill"]
    batch: int
    prompt_tokens: int
    """Length of every prompt."""
    seed: int

    def figure(self, what: str) -> str:
        """The name of a figure: ``mini_decode_WHAT_b8`` or ``mini_prefill_WHAT``."""
        suffix = f"_b{self.batch}" if self.phase == "decode" else ""
        return f"{self.model}_{self.phase}_{what}{suffix}"

    def prompts(self, *call: object) -> list[list[int]]:
        """The prompts of one call: equal for equal ``call``, else nothing in common, so that no
        engine meets a prefix it knows."""
        draw = random.Random(repr((self.seed, self.model, self.phase, self.batch, *call)))
        return [
            [draw.randint(FIRST_TOKEN, LAST_TOKEN) for _ in range(self.prompt_tokens)]
            for _ in range(self.batch)
        ]

    def warm(self, engine: Generator) -> float:
        """Tokens per second, roughly: of a first call, or of a second where calls are short."""
        seconds = self._trial(engine, "warm")
        if seconds < SHORT_S:
            seconds = self._trial(engine, "warm", "again")
        return self.trial_tokens / seconds

    def pilot(self, engine: Generator) -> float:
        """Tokens per second: the best of a few calls after one to warm up."""
        self._trial(engine, "warm")
        seconds: list[float] = []
        while len(seconds) < MAX_PILOTS and sum(seconds) < PILOT_S:
            seconds.append(self._trial(engine, "pilot", len(seconds)))
        return self.trial_tokens / min(seconds)

    @property
    def trial_tokens(self) -> int:
        """Tokens whose rate one call of a trial says."""
        return self.batch * (PILOT_TOKENS if self.phase == "decode" else self.prompt_tokens)

    def _trial(self, engine: Generator, *call: object) -> float:
        num_tokens = PILOT_TOKENS if self.phase == "decode" else 1
        return engine.call("generate", prompts=self.prompts(*call), num_tokens=num_tokens)

    def tokens_for(self, rate: float, seconds: float) -> int:
        """Tokens per sequence that take about ``seconds`` at ``rate`` tokens per second."""
        if self.phase == "prefill":
            return 1
        return min(max(round(seconds * rate / self.batch), MIN_TOKENS), MAX_TOKENS)

    def rate(self, engine: Generator, number: int, num_tokens: int) -> float:
        """Tokens per second in round ``number``. Raises PeerFailed when time ran backwards."""
        if self.phase == "decode":
            return self._decode_rate(engine, number, num_tokens)
        return self._prefill_rate(engine, number)

    def _decode_rate(self, engine: Generator, number: int, num_tokens: int) -> float:
        """By difference: what the tokens after the first one took, prefill and set-up excluded."""
        for attempt in range(NUM_ATTEMPTS):
            call = (number, attempt)
            first = engine.call("generate", prompts=self.prompts(*call, "first"), num_tokens=1)
            whole = engine.call(
                "generate", prompts=self.prompts(*call, "whole"), num_tokens=num_tokens
            )
            if whole > first:
                return self.batch * (num_tokens - 1) / (whole - first)
        raise PeerFailed(
            f"One token took longer than {num_tokens}, {NUM_ATTEMPTS} times over.",
            peer=engine.peer,
            remedy="The machine is too busy to measure on.",
        )

    def _prefill_rate(self, engine: Generator, number: int) -> float:
        """Prompt tokens over the time to the first token, repeated until it can be timed."""
        seconds, num_calls = 0.0, 0
        while seconds < MIN_PREFILL_S:
            prompts = self.prompts(number, num_calls)
            seconds += engine.call("generate", prompts=prompts, num_tokens=1)
            num_calls += 1
        return num_calls * self.batch * self.prompt_tokens / seconds
