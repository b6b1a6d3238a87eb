"""Public dataclasses are values: frozen, slotted and keyword-only."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.sources import Source, repository_sources

VALUE = {"frozen", "slots", "kw_only"}


def loose_dataclasses(tree: ast.Module) -> Iterator[str]:
    """Names of public dataclasses that are not values."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            options = dataclass_options(node)
            if options is not None and not options >= VALUE:
                yield node.name


def dataclass_options(node: ast.ClassDef) -> set[str] | None:
    """The options set to True, or ``None`` where the class is no dataclass."""
    for decorator in node.decorator_list:
        call = decorator if isinstance(decorator, ast.Call) else None
        target = call.func if call else decorator
        if ast.unparse(target) in ("dataclass", "dataclasses.dataclass"):
            keywords = call.keywords if call else []
            return {word.arg or "" for word in keywords if ast.unparse(word.value) == "True"}
    return None


@pytest.mark.parametrize("source", repository_sources(), ids=lambda source: source.path)
def test_public_dataclasses_are_values(source: Source) -> None:
    assert list(loose_dataclasses(source.tree)) == []


def test_rule_sees_a_loose_dataclass() -> None:
    code = "@dataclass\nclass A: ...\n@dataclass(frozen=True, slots=True)\nclass B: ..."
    assert list(loose_dataclasses(ast.parse(code))) == ["A", "B"]
