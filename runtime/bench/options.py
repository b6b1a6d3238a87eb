"""What a bench is asked to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from weft.errors import InvalidRequest

__all__ = ["BenchOptions", "parse_peer"]

DEFAULT_ROUNDS = 5
FULL_ROUNDS = 9
DEFAULT_LIMIT_S = 540.0
FULL_LIMIT_S = 5400.0


def _silent(line: str) -> None:
    """The default for ``say``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """Raises InvalidRequest at construction."""

    peers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Peer kind to where it is: the folder of its environment, or the URL of a running server."""
    peers_folder: Path = Path(".peers")
    """Where ``make peers`` put the peers' environments; a kind in ``peers`` goes before it."""
    num_rounds: int | None = None
    """Interleaved rounds per figure; ``None`` is 5, or 9 in full."""
    is_full: bool = False
    """Measure more, for as long as it takes."""
    models: tuple[str, ...] = ()
    """Which models the bench ``engine`` measures; none are all."""
    workloads: tuple[str, ...] = ()
    """Which workloads it measures, such as ``decode:8`` or ``prefill``; none are all."""
    seed: int = 0
    say: Callable[[str], None] = _silent
    """Called with one line of progress at a time."""

    def __post_init__(self) -> None:
        if self.num_rounds is not None and self.num_rounds < 1:
            raise InvalidRequest(
                f"num_rounds is {self.num_rounds!r}.", remedy="It must be at least 1."
            )
        if self.seed < 0:
            raise InvalidRequest(f"seed is {self.seed!r}.", remedy="It must be at least 0.")

    @property
    def rounds(self) -> int:
        return self.num_rounds or (FULL_ROUNDS if self.is_full else DEFAULT_ROUNDS)

    @property
    def limit_s(self) -> float:
        """Seconds after which no further round starts, so that the report still comes in time."""
        return FULL_LIMIT_S if self.is_full else DEFAULT_LIMIT_S


def parse_peer(text: str) -> tuple[str, str]:
    """``KIND=URL`` as (kind, url). Raises InvalidRequest."""
    kind, equals, url = text.partition("=")
    if not (kind and equals and url):
        raise InvalidRequest(
            f"The peer {text!r} is not KIND=URL.",
            remedy="Write for example vllm=http://127.0.0.1:8000 or vllm=.peers/vllm.",
        )
    return kind, url
