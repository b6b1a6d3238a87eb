"""Making peers' environments: what is made, what is left alone, what a failure stops."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.bench.peers import RECIPES, Recipe, install
from examples.bench.peers.__main__ import main
from examples.bench.peers.wheel import read_requirements, select_requirements

ROOT = Path(__file__).parents[4]

METADATA = """Metadata-Version: 2.1
Name: toy
Requires-Dist: numpy
Requires-Dist: Torch_Audio>=2; python_version > "3.9"
Requires-Dist: six>=1; python_version > "3.11"
Requires-Dist: pandas; extra == "bench"

Requires-Dist: not-a-header
"""


def builder(made: list[str], broken: str = "") -> Callable[[Recipe, Path], None]:
    """Makes an empty environment; fails for one."""

    def build(recipe: Recipe, place: Path) -> None:
        if recipe.name == broken:
            raise OSError("no room")
        place.mkdir(parents=True, exist_ok=True)
        made.append(recipe.name)

    return build


def test_environments_are_made_once(tmp_path: Path) -> None:
    made: list[str] = []
    said: list[str] = []
    for _ in range(2):
        assert install(RECIPES, tmp_path, say=said.append, build=builder(made)) == []
    assert made == [recipe.name for recipe in RECIPES]
    assert [line for line in said if "already" in line] == [
        f"{name}: already in {tmp_path / name}" for name in made
    ]


def test_fingerprint_is_the_same_in_every_process() -> None:
    # Hash randomisation once reordered a set in it, and every run installed everything again.
    code = "from examples.bench.peers import RECIPES\nfor r in RECIPES: print(r.fingerprint)"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(outputs) == 1


def test_a_changed_recipe_is_made_again(tmp_path: Path) -> None:
    made: list[str] = []
    for packages in (("langgraph",), ("langgraph", "langchain-core")):
        recipe = Recipe(name="langgraph", packages=packages)
        install([recipe], tmp_path, say=lambda line: None, build=builder(made))
    assert made == ["langgraph", "langgraph"]


def test_a_failing_peer_does_not_stop_the_others(tmp_path: Path) -> None:
    made: list[str] = []
    said: list[str] = []
    first, second = RECIPES[0].name, RECIPES[1].name
    build = builder(made, broken=first)
    assert install(RECIPES, tmp_path, say=said.append, build=build) == [first]
    assert made == [second]
    assert f"{first}: FAILED: no room" in said
    assert install(RECIPES, tmp_path, say=said.append, build=builder(made)) == []
    assert made == [second, first]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_version_is_pinned(recipe: Recipe) -> None:
    lines = recipe.constraints.read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(line.count("==") == 1 and "+" not in line for line in pins)
    names = {line.partition("==")[0] for line in pins}
    assert names >= {*recipe.packages, *recipe.bare_packages}


def test_wheel_says_what_it_requires(tmp_path: Path) -> None:
    wheel = tmp_path / "toy-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("toy-1.dist-info/METADATA", METADATA)
        archive.writestr("toy/__init__.py", "")
    required = read_requirements(wheel)
    assert len(required) == 4
    assert select_requirements(required, {"torch-audio"}) == [
        "numpy",
        'six>=1; python_version > "3.11"',
    ]


def test_unknown_peer_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["slurm"]) == 2
    assert "no peer 'slurm'" in capsys.readouterr().err
