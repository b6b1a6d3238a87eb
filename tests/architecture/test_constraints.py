"""Every dependency that pyproject.toml names has one pinned version, within its range."""

from __future__ import annotations

import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from tests.architecture.sources import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements() -> list[Requirement]:
    """Those of the project and of all its extras."""
    named: list[str] = [*PROJECT["dependencies"]]
    for extra in PROJECT["optional-dependencies"].values():
        named.extend(extra)
    return [Requirement(text) for text in named]


def pins() -> dict[NormalizedName, str]:
    """Version by name, from lines that are exact pins and nothing else."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    parsed = [Requirement(line) for line in lines if line and not line.startswith("#")]
    versions = {canonicalize_name(pin.name): exact_version(pin) for pin in parsed}
    assert len(versions) == len(parsed), "a name is pinned twice"
    return versions


def exact_version(pin: Requirement) -> str:
    (specifier,) = pin.specifier
    assert specifier.operator == "==" and "+" not in specifier.version, str(pin)
    return specifier.version


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_requirement_is_pinned_within_its_range(requirement: Requirement) -> None:
    version = pins()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version)


def test_extras_are_the_promised_ones() -> None:
    wanted = {"dev", "engine", "langgraph", "mcp", "postgres", "server", "sglang"}
    assert set(PROJECT["optional-dependencies"]) == wanted
