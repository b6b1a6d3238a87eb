"""How strongly a machine can confine a command, and why not more."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from weft.errors import InvalidRequest
from weft.tools.sandbox.cgroups import Cgroups

__all__ = ["SandboxLevel", "SandboxReport"]


class SandboxLevel(IntEnum):
    """How strongly commands are confined; a higher level is a greater number."""

    NONE = 0
    """Not at all: commands are refused."""
    LANDLOCK = 1
    """Files by Landlock, no sockets, no change of modes, resource limits of each process. That
    a foreign file exists, its size and its times can be found out by asking for its path."""
    BWRAP = 2
    """Namespaces of bubblewrap and the seccomp filter, resource limits of each process."""
    FULL = 3
    """As ``BWRAP``, and a cgroup for each call: limits of all its processes together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxReport:
    """What one machine gives, found by trying. The caller keeps it."""

    level: SandboxLevel
    reasons: tuple[str, ...] = ()
    """For each level above ``level``, why it is not had: sentences for a person."""
    bwrap: str | None = None
    """Path of bubblewrap."""
    cgroups: Cgroups | None = None
    """Set at ``FULL``."""

    def lowered(self, level: SandboxLevel) -> SandboxReport:
        """The same machine used at a lower level. Raises InvalidRequest for a higher one."""
        if level > self.level:
            raise InvalidRequest(
                f"Level {level.name} is above {self.level.name}, the best that was found.",
                remedy=" ".join(self.reasons) or "Ask for that level or a lower one.",
            )
        if level == self.level:
            return self
        return replace(self, level=level, reasons=(*self.reasons, f"{level.name} was asked for."))
