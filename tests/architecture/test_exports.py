"""Each folder's door names exactly what it lets through; ruff keeps the names sorted."""

from __future__ import annotations

import ast

import pytest

from tests.architecture.sources import Source, doors, weft_sources


def exported(tree: ast.Module) -> list[str] | None:
    """The names of ``__all__``, or ``None`` where there is none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return names
    return None


def defined(tree: ast.Module) -> set[str]:
    """Every name bound at the top of a module."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def let_through(tree: ast.Module) -> set[str]:
    """Public names that a door imports from weft's own modules."""
    return {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("weft")
        for alias in node.names
        if not (alias.asname or alias.name).startswith("_")
    }


@pytest.mark.parametrize("source", weft_sources(), ids=lambda source: source.path)
def test_exports_are_real(source: Source) -> None:
    names = exported(source.tree)
    assert set(names or ()) <= defined(source.tree)
    assert len(set(names or ())) == len(names or ())


@pytest.mark.parametrize("door", doors(), ids=lambda door: door.path)
def test_door_exports_what_it_imports(door: Source) -> None:
    assert let_through(door.tree) <= set(exported(door.tree) or [])


def test_rule_sees_a_forgotten_name() -> None:
    tree = ast.parse("from weft.cache.pool import Pool, View\n__all__ = ['Pool']")
    assert let_through(tree) - set(exported(tree) or []) == {"View"}
    assert exported(tree) == ["Pool"]
    assert "Tree" not in defined(tree)
