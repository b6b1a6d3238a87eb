"""How much a grammar may ask for."""

from __future__ import annotations

from dataclasses import dataclass

from weft.errors import InvalidRequest

__all__ = ["GrammarLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GrammarLimits:
    """Caps on what is sent, what compiling it may cost, and what is kept.

    Raises InvalidRequest at construction when a cap is not positive.
    """

    max_text_bytes: int = 65_536
    """Of the description as sent."""
    max_depth: int = 64
    """Nesting of brackets in a description that is JSON, and of groups in a regex."""
    max_nodes: int = 4_096
    """JSON values in a description, keys not counted."""
    max_choices: int = 1_024
    """Values of one enum, or choices."""
    max_count: int = 10_000
    """Of maxItems, maxLength and their like, and of one repetition in a regex."""
    max_least: int = 256
    """Of minItems, minLength and their like, and of what a regex must repeat. Following a long
    obligation costs the engine about a millisecond per character, not microseconds."""
    max_regex_length: int = 2_048
    max_repetitions: int = 100_000
    """Product of the bounds of repetitions nested in each other in a regex."""
    compile_seconds: float = 5.0
    """Wall-clock time after which the worker is killed."""
    start_seconds: float = 120.0
    """Wall-clock time in which a fresh worker must be ready."""
    mask_seconds: float = 0.05
    """Processor time that one mask of a trial run may take."""
    num_trial_tokens: int = 48
    """Tokens of the trial run that measures masks."""
    worker_memory_bytes: int = 1 << 30
    """Address space a compilation may add to the worker's."""
    max_compiled_bytes: int = 64 << 20
    """Of one compiled grammar in the form that crosses from the worker."""
    cache_bytes: int = 256 << 20
    """Of all compiled grammars kept; the least recently used go first."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value: float = getattr(self, name)
            if value <= 0:
                raise InvalidRequest(f"{name} is {value!r}.", remedy="It must be positive.")
