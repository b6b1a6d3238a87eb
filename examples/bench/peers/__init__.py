"""The systems that weft is compared with, each installed into an environment of its own."""

from examples.bench.peers.install import install
from examples.bench.peers.recipe import RECIPES, Recipe

__all__ = ["RECIPES", "Recipe", "install"]
