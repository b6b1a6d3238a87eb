"""What a Step, or a sum of Steps, cost."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Usage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Counts that add up over Steps."""

    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    """Prompt tokens whose KV was shared instead of computed."""
    num_generated_tokens: int = 0
    num_requests: int = 0
    num_tool_calls: int = 0
    seconds: float = 0.0
    """Wall-clock time of the Step; a sum over Steps is work, not elapsed time."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            num_prompt_tokens=self.num_prompt_tokens + other.num_prompt_tokens,
            num_cached_tokens=self.num_cached_tokens + other.num_cached_tokens,
            num_generated_tokens=self.num_generated_tokens + other.num_generated_tokens,
            num_requests=self.num_requests + other.num_requests,
            num_tool_calls=self.num_tool_calls + other.num_tool_calls,
            seconds=self.seconds + other.seconds,
        )

    @property
    def hit_rate(self) -> float:
        """Share of prompt tokens that came from shared KV, 0 when there were none."""
        return self.num_cached_tokens / self.num_prompt_tokens if self.num_prompt_tokens else 0.0
