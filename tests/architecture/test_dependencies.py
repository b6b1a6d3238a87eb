"""Every package that the sources import is one that pyproject.toml names."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from tests.architecture.sources import ROOT, Source, weft_sources

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTIONS = {
    "pydantic_core": "pydantic",
    "huggingface_hub": "transformers",
    "triton": "torch",
}
"""Packages that come with another one: Triton with torch for CUDA, in the version it needs."""


def imported(tree: ast.Module) -> Iterator[str]:
    """Top-level names of the packages that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def distributions(tree: ast.Module) -> set[NormalizedName]:
    """What must be installed for a module, besides Python and weft."""
    others = set(imported(tree)) - set(sys.stdlib_module_names) - {"weft", "__future__"}
    return {canonicalize_name(DISTRIBUTIONS.get(name, name)) for name in others}


def named() -> set[NormalizedName]:
    extras = PROJECT["optional-dependencies"]
    users = [text for extra, texts in extras.items() if extra != "dev" for text in texts]
    return {canonicalize_name(Requirement(t).name) for t in (*PROJECT["dependencies"], *users)}


@pytest.mark.parametrize("source", weft_sources(), ids=lambda source: source.path)
def test_imports_are_named_dependencies(source: Source) -> None:
    assert distributions(source.tree) <= named()


def test_rule_sees_an_undeclared_package() -> None:
    tree = ast.parse("import os, weft_no_such\nfrom pydantic_core import x\nimport weft.errors")
    assert distributions(tree) == {"weft-no-such", "pydantic"}
    assert distributions(tree) - named() == {"weft-no-such"}
