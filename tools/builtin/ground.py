"""The folder that the tools of one toolbox work in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from weft.tools.sandbox import Sandbox, SandboxLimits, SandboxReport
from weft.tools.workspace import Workspace

__all__ = ["Ground"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A plain folder, or a workspace that shares what it began with."""

    path: Path
    measured: Callable[[], Path]
    """Which folder holds what counts as written."""
    open_sandbox: Callable[[SandboxReport, SandboxLimits], AbstractAsyncContextManager[Sandbox]]

    @property
    def state(self) -> tuple[int, int]:
        """Another one when the folder was forked or replaced."""
        found = self.measured().stat()
        return found.st_dev, found.st_ino

    @classmethod
    def of(cls, given: Path | Workspace) -> Ground:
        if isinstance(given, Workspace):
            return cls(path=given.path, measured=lambda: given.measured, open_sandbox=given.sandbox)
        path = given.absolute()
        return cls(
            path=path,
            measured=lambda: path,
            open_sandbox=lambda report, limits: Sandbox.open(report, path, limits),
        )
