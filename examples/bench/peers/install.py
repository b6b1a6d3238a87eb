"""Making the peers' environments."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

from examples.bench.peers.recipe import Recipe
from examples.bench.peers.wheel import read_requirements, select_requirements

__all__ = ["install"]

STAMP = "weft-peer.txt"


def install(
    recipes: Sequence[Recipe],
    folder: Path,
    *,
    say: Callable[[str], None],
    build: Callable[[Recipe, Path], None] | None = None,
) -> list[str]:
    """Make each environment that is not there yet below ``folder``; the names that failed.

    An environment is there when it was made to the end from the same recipe. One that fails
    does not keep the others from being made.
    """
    failed: list[str] = []
    for recipe in recipes:
        place = folder / recipe.name
        stamp = place / STAMP
        if stamp.exists() and stamp.read_text(encoding="utf-8") == recipe.fingerprint:
            say(f"{recipe.name}: already in {place}")
            continue
        say(f"{recipe.name}: installing into {place} ...")
        try:
            (build or build_environment)(recipe, place)
        except (OSError, subprocess.CalledProcessError, ValueError) as error:
            say(f"{recipe.name}: FAILED: {error}")
            failed.append(recipe.name)
            continue
        stamp.write_text(recipe.fingerprint, encoding="utf-8")
        say(f"{recipe.name}: done")
    return failed


def build_environment(recipe: Recipe, place: Path) -> None:
    """A fresh environment with the recipe's packages. Raises CalledProcessError when pip fails."""
    venv.EnvBuilder(clear=True, symlinks=True, with_pip=True).create(place)
    _pip(recipe, place, "install", *recipe.packages)
    for package in recipe.bare_packages:
        _install_bare(recipe, place, package)


def _install_bare(recipe: Recipe, place: Path, package: str) -> None:
    """A package without what the recipe leaves out, which pip alone cannot express."""
    with tempfile.TemporaryDirectory(prefix="weft-peers-") as name:
        downloads = Path(name)
        _pip(recipe, place, "download", "--no-deps", "--dest", name, package)
        (wheel,) = downloads.glob("*.whl")
        required = select_requirements(read_requirements(wheel), recipe.without)
        listed = downloads / "required.txt"
        listed.write_text("\n".join(required), encoding="utf-8")
        _pip(recipe, place, "install", "--requirement", str(listed))
        _pip(recipe, place, "install", "--no-deps", str(wheel))


def _pip(recipe: Recipe, place: Path, command: str, *arguments: str) -> None:
    python = place.absolute() / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-qq", command]
    chosen = ["--only-binary", ":all:", "--constraint", str(recipe.constraints)]
    subprocess.run([*pip, *chosen, *arguments], check=True, stdout=sys.stderr)
