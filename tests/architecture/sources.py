"""The repository's Python sources, parsed once for every rule that reads them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

__all__ = ["FOLDERS", "ROOT", "Source", "doors", "repository_sources", "weft_sources"]

ROOT = Path(__file__).parents[2]
FOLDERS = ("agents", "cache", "programs", "runtime", "tools")


class Source(NamedTuple):
    """One file: its path below the root, and its tree."""

    path: str
    tree: ast.Module


@cache
def weft_sources() -> tuple[Source, ...]:
    """Every module that the wheel ships."""
    own = [ROOT / "src/weft/__init__.py", ROOT / "src/weft/errors.py"]
    return tuple(_parsed([*own, *_below(*FOLDERS)]))


@cache
def repository_sources() -> tuple[Source, ...]:
    """Every module of the repository but its tests."""
    return (*weft_sources(), *_parsed(_below("examples")))


def doors() -> tuple[Source, ...]:
    """The ``__init__`` of every folder that the wheel ships."""
    return tuple(source for source in weft_sources() if source.path.endswith("__init__.py"))


def _below(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def _parsed(paths: list[Path] | Iterator[Path]) -> Iterator[Source]:
    for path in paths:
        yield Source(str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8")))
