"""Write the shop and the held-out problems: `python -m examples.mini.heldout`."""

import argparse
import json
from pathlib import Path

from examples.mini.mixture import SKILLS, heldout_problems
from examples.mini.problem import JsonValue, Problem
from examples.mini.shop_db import shop_script

SEED = 0
NUM_PROBLEMS = 200
COUNTDOWN_PROBLEMS = 300
"""More than the others: its figures are compared most."""


def row(number: int, problem: Problem) -> dict[str, JsonValue]:
    """Build the row of one problem; it can be asked and checked without anything else."""
    return {
        "id": f"{problem.skill}-{number:03d}",
        "skill": problem.skill,
        "messages": problem.messages[: problem.num_prompt],
        "tools": problem.tools,
        "check": problem.check,
    }


def write_assets(folder: Path) -> None:
    """Write `shop.sql` and `heldout/*.jsonl` under a folder; always the same bytes."""
    (folder / "heldout").mkdir(parents=True, exist_ok=True)
    (folder / "shop.sql").write_text(shop_script(), encoding="utf-8")
    for skill in SKILLS:
        count = COUNTDOWN_PROBLEMS if skill == "countdown" else NUM_PROBLEMS
        rows = [
            row(number, item) for number, item in enumerate(heldout_problems(skill, SEED, count))
        ]
        lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in rows)
        (folder / "heldout" / f"{skill}.jsonl").write_text(lines, encoding="utf-8")


def main() -> None:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runtime/assets/mini"))
    write_assets(parser.parse_args().out)


if __name__ == "__main__":
    main()
