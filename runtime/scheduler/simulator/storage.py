"""What simulated replicas hold of programs' KV, and what having it again takes."""

from __future__ import annotations

from typing import NamedTuple

from weft.runtime.scheduler.costs import Costs
from weft.runtime.scheduler.simulator.script import Script

__all__ = ["Storage", "Work"]


class Work(NamedTuple):
    """What a replica does before a context is there."""

    seconds: float
    held_tokens: int
    """Those that were there."""
    loaded_tokens: int
    """Those that were read back."""


class _Kept(NamedTuple):
    replica: str
    num_tokens: int
    is_spilled: bool


class Storage:
    """Every program's KV is on one replica at most, in its pool or beside it; a shared prefix is
    in a pool as long as one who shares it is."""

    def __init__(self, costs: Costs) -> None:
        self._costs = costs
        self._kept: dict[str, _Kept] = {}
        self._sharers: dict[tuple[str, str], int] = {}

    def bring(self, script: Script, replica: str, num_tokens: int, *, new_tokens: int) -> Work:
        """A context is in the replica's pool from now on; its last tokens are new."""
        kept = self._kept.get(script.program)
        is_here = kept is not None and kept.replica == replica
        shares = self._sharers.get((replica, script.shared_prefix), 0) > 0
        held = script.prefix_tokens if script.prefix and shares else 0
        loaded = 0
        if is_here and kept is not None:
            known = min(kept.num_tokens, num_tokens - new_tokens)
            held, loaded = (held, max(0, known - held)) if kept.is_spilled else (known, 0)
        self.hold(script, replica, num_tokens)
        seconds = self._costs.restore_s(num_tokens, shared_tokens=held + loaded)
        return Work(self._costs.load_s * loaded + seconds, held, loaded)

    def hold(self, script: Script, replica: str, num_tokens: int) -> None:
        """So much of a program is in the replica's pool, and nothing anywhere else."""
        self.forget(script)
        self._kept[script.program] = _Kept(replica, num_tokens, False)
        key = replica, script.shared_prefix
        self._sharers[key] = self._sharers.get(key, 0) + 1

    def spill(self, script: Script) -> float:
        """What a program has is kept beside the pool, its prefix too: the seconds that this takes
        for what nobody else has in the pool."""
        kept = self._kept[script.program]
        self.forget(script)
        self._kept[script.program] = kept._replace(is_spilled=True)
        shares = self._sharers[kept.replica, script.shared_prefix] > 0
        num_others = script.prefix_tokens if script.prefix and shares else 0
        return self._costs.spill_s * max(0, kept.num_tokens - num_others)

    def forget(self, script: Script) -> None:
        kept = self._kept.pop(script.program, None)
        if kept is not None and not kept.is_spilled:
            self._sharers[kept.replica, script.shared_prefix] -= 1
