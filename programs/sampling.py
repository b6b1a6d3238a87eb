"""How tokens are drawn: one immutable, validated value that travels with a Request."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from weft.errors import InvalidRequest

__all__ = ["MAX_BRANCHES", "MAX_STOP_STRINGS", "Sampling"]

MAX_BRANCHES = 1024
"""Most sequences one Request may ask for (``n``): checked before anything is allocated."""
MAX_STOP_STRINGS = 64
MAX_STOP_LENGTH = 1024
MAX_BIASES = 4096
MAX_TOP_LOGPROBS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Sampling parameters of one Request. Raises InvalidRequest at construction."""

    max_tokens: int | None = None
    """Most tokens to generate; ``None`` is what is left of the model's window."""
    min_tokens: int = 0
    """End tokens and stop strings are ignored until this many tokens are there."""
    temperature: float = 1.0
    """0 is greedy."""
    top_p: float = 1.0
    top_k: int = 0
    """0 and -1 switch the filter off."""
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    """Divides positive and multiplies negative logits of tokens in prompt or output."""
    presence_penalty: float = 0.0
    """Subtracted once from the logit of every token already generated."""
    frequency_penalty: float = 0.0
    """Subtracted from a token's logit for every time it was generated."""
    logit_bias: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))
    """Token id to a value added to its logit."""
    seed: int | None = None
    """``None`` lets the executor derive one from the run's seed and the Step's lineage."""
    stop: tuple[str, ...] = ()
    """Strings that end the output; the string itself is not part of the text."""
    stop_token_ids: tuple[int, ...] = ()
    """Token ids that end the output, besides the model's own end tokens."""
    ignore_eos: bool = False
    logprobs: int | None = None
    """``None`` is off; 0 gives the chosen token's log-probability; k adds the k likeliest."""

    def __post_init__(self) -> None:
        self._check_counts()
        self._check_shares()
        self._check_penalties()
        self._check_stops()
        object.__setattr__(self, "logit_bias", MappingProxyType(dict(self.logit_bias)))

    def with_seed(self, seed: int) -> Sampling:
        """The same with another seed. Much cheaper than ``replace``: only the seed is checked."""
        _check_seed(seed)
        copy = object.__new__(Sampling)
        for name in _FIELDS:
            object.__setattr__(copy, name, getattr(self, name))
        object.__setattr__(copy, "seed", seed)
        return copy

    def _check_counts(self) -> None:
        if self.max_tokens is not None:
            _require(self.max_tokens >= 1, "max_tokens", self.max_tokens, "at least 1")
        _require(self.min_tokens >= 0, "min_tokens", self.min_tokens, "at least 0")
        _require(self.top_k >= -1, "top_k", self.top_k, "at least 1, or 0 for off")
        if self.logprobs is not None:
            wanted = f"between 0 and {MAX_TOP_LOGPROBS}"
            _require(0 <= self.logprobs <= MAX_TOP_LOGPROBS, "logprobs", self.logprobs, wanted)
        if self.seed is not None:
            _check_seed(self.seed)

    def _check_shares(self) -> None:
        _require(0.0 <= self.temperature <= 100.0, "temperature", self.temperature, "in [0, 100]")
        _require(0.0 < self.top_p <= 1.0, "top_p", self.top_p, "in (0, 1]")
        _require(0.0 <= self.min_p <= 1.0, "min_p", self.min_p, "in [0, 1]")

    def _check_penalties(self) -> None:
        penalty = self.repetition_penalty
        _require(0.0 < penalty <= 100.0, "repetition_penalty", penalty, "in (0, 100]")
        for name in ("presence_penalty", "frequency_penalty"):
            value: float = getattr(self, name)
            _require(-100.0 <= value <= 100.0, name, value, "in [-100, 100]")
        num_biases = len(self.logit_bias)
        _require(num_biases <= MAX_BIASES, "len(logit_bias)", num_biases, f"at most {MAX_BIASES}")
        for token_id, bias in self.logit_bias.items():
            _require(token_id >= 0, "logit_bias token id", token_id, "at least 0")
            _require(math.isfinite(bias), f"logit_bias[{token_id}]", bias, "finite")

    def _check_stops(self) -> None:
        num_stops = len(self.stop) + len(self.stop_token_ids)
        wanted = f"at most {MAX_STOP_STRINGS}"
        _require(num_stops <= MAX_STOP_STRINGS, "number of stops", num_stops, wanted)
        for text in self.stop:
            wanted = f"1 to {MAX_STOP_LENGTH} characters"
            _require(1 <= len(text) <= MAX_STOP_LENGTH, "stop", text, wanted)
        for token_id in self.stop_token_ids:
            _require(token_id >= 0, "stop_token_ids", token_id, "at least 0")


_FIELDS = tuple(Sampling.__dataclass_fields__)


def _check_seed(seed: int) -> None:
    _require(0 <= seed < 2**63, "seed", seed, "between 0 and 2**63 - 1")


def _require(is_fine: bool, name: str, got: object, wanted: str) -> None:
    if not is_fine:
        raise InvalidRequest(f"{name} is {got!r}.", remedy=f"It must be {wanted}.")
