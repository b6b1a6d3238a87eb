"""An answer that the model plans and writes in parallel: `weft run examples/outline.py`.

The model writes an outline; each of its parts is then written by a branch of its own, all at the
same time, and the conclusion sees all of them by the keys and values that they have. On a terminal
the lines of the run tree grow side by side. The model decides whether there is an outline at all:
one that has not learnt to plan answers in a single stream, and the report says so.
"""

from __future__ import annotations

from weft import Unfolded, chat, gen_regions, program

REQUEST = "3 lamps at 4, 2 pans at 9, 5 cups at 2\ntotal?"
MAX_TOKENS = 160


@program
async def outline(request: str = REQUEST, how: str = "shared") -> str:
    """Answer in parallel where the model plans so. With `how` text, engines that do not see
    branches will do."""
    answer = await gen_regions(
        chat("Plan, then solve.").user(request),
        how="text" if how == "text" else "shared",
        temperature=0,
        max_tokens=MAX_TOKENS,
    )
    return report(answer)


def report(answer: Unfolded) -> str:
    """What was written, by whom, and how much of it took time."""
    lines = [answer.text, ""]
    for region in answer.regions:
        for branch in region.branches:
            lines.append(f"{branch.number}. {branch.title}: {branch.num_tokens} tokens")
    if not answer.regions:
        lines.append("The model planned no parallel parts: one stream wrote it all.")
    lines.append(
        f"{answer.num_tokens} tokens, {answer.num_critical} of them one after the other: "
        f"{answer.acceleration:.0%} cost no time of their own."
    )
    return "\n".join(lines)
