"""What a wheel says it requires."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Collection, Iterable
from email.parser import Parser
from pathlib import Path

__all__ = ["read_requirements", "select_requirements"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
EXTRA = re.compile(r"\bextra\s*==")


def read_requirements(wheel: Path) -> list[str]:
    """Its ``Requires-Dist`` lines, markers included."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        fields = Parser().parsestr(archive.read(metadata).decode("utf-8"), headersonly=True)
    return [str(value) for value in fields.get_all("Requires-Dist", [])]


def select_requirements(requirements: Iterable[str], without: Collection[str]) -> list[str]:
    """Those that are not for an extra and not in ``without``."""
    return [line for line in requirements if not EXTRA.search(line) and _name(line) not in without]


def _name(requirement: str) -> str:
    match = NAME.match(requirement)
    assert match is not None, requirement
    return re.sub(r"[-_.]+", "-", match.group()).lower()
