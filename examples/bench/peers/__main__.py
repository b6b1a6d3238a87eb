"""``python -m examples.bench.peers [NAME …]``: install the peers into ``.peers``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from examples.bench.peers.install import install
from examples.bench.peers.recipe import RECIPES

__all__ = ["main"]


def main(names: Sequence[str]) -> int:
    """Install the peers named, all without a name. Returns 1 when one failed, 2 for a bad name."""
    known = {recipe.name: recipe for recipe in RECIPES}
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(f"There is no peer {unknown[0]!r}. Choose of {', '.join(known)}.", file=sys.stderr)
        return 2
    chosen = [known[name] for name in names] or list(RECIPES)
    failed = install(chosen, Path(".peers"), say=lambda line: print(line, flush=True))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
