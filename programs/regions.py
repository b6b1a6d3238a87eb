"""Parallel regions as published models and prompts write them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from weft.programs.region_form import Branch, Rebuilt, RegionForm

__all__ = ["FORMS", "Branch", "RegionForm"]

# Numbers are kept short: a model may write any, and long ones are slow to read.
_OUTLINE = r"<Outline>\s*(?P<number>\d{1,9})\s*:\s*(?P<title>.*?)(?:</Outlines?>|$)"

_ASK_SKELETON = (
    "Give only the skeleton of an answer to the question below: a numbered list (1., 2., 3., …) "
    "of 3 to 10 points, each of 3 to 5 words.\n\n{request}"
)
_ASK_POINT = (
    "{request}\n\nThis is the skeleton of an answer:\n\n{plan}\n\n"
    "Write point {number} and no other, in one or two sentences."
)


def _search_prompt(branch: Branch, text: str) -> str:
    """What a sub-search of Countdown begins with: its node, and what was computed to get there."""
    made = re.findall(r"Generated Node (#[\d,]+): (\d+:\[[^\]\n]*\]) Operation: (\S+)", text)
    nodes = {node: (state, operation) for node, state, operation in made}
    node, operations = branch.title.removeprefix("Node "), list[str]()
    if node not in nodes:
        return f"Moving to {branch.title}"
    state, _ = nodes[node]
    while node in nodes:
        operations.insert(0, nodes[node][1])
        node = node.rpartition(",")[0]
    return f"Moving to {branch.title}\nCurrent State: {state}, Operations: {operations}"


FORMS: Mapping[str, RegionForm] = {
    form.name: form
    for form in (
        # ThreadWeaver: <Parallel><Outlines><Outline> 1: …</Outline>…</Outlines><Thread>1: …
        RegionForm(
            name="threadweaver",
            opens="<Outlines>",
            plan_end="</Outlines>",
            item=_OUTLINE,
            head="\n<Thread>\n{number}:",
            tail="</Thread>",
            join="\n</Parallel>",
            mode="text",
        ),
        # Multiverse: <Parallel><Goal><Outline> 1: …</Outline>…</Goal><Path> 1: …
        RegionForm(
            name="multiverse",
            opens="<Goal>",
            plan_end="</Goal>",
            item=_OUTLINE,
            head="<Path> {number}:",
            tail="</Path>",
            join="<Conclusion>",
            nests=True,
        ),
        # MedVerse: a plan of steps that say what they depend on.
        RegionForm(
            name="medverse",
            opens="<Plan>",
            plan_end="</Plan>",
            item=r"Transient Step\s+(?P<number>\d{1,9})\s*:\s*(?P<title>[^;\n]+);"
            r"\s*Dependency:\s*\[(?P<needs>[^\]\n]*)\]",
            fork="\n<Execution>\n",
            head="<Step> Transient Step {number}: {title}\n",
            tail="</Step>",
            join="</Execution>\n<Conclusion>\n",
        ),
        # ParaThinker: several lines of thought about the same, without a plan.
        RegionForm(
            name="parathinker", head="<think{number}>", tail="</think{number}>", join="<summary>"
        ),
        # Skeleton-of-Thought: prompts for any model. Each point is a request of its own.
        RegionForm(
            name="skeleton",
            outline=_ASK_SKELETON,
            item=r"^[ \t]*(?P<number>\d{1,9})\.[ \t]*(?P<title>\S[^\n]*)",
            head="{number}. {title}",
            mode="text",
            rebuilt=Rebuilt(prompt=_ASK_POINT, report="{number}. {title}{text}\n"),
        ),
        # APR: sub-searches, each from a short prompt of its own; what they found replaces the call.
        RegionForm(
            name="apr",
            opens="<Calling Sub Searches>",
            plan_end="<End Calling Sub Searches>",
            item=r"<Start Sub Search (?P<number>\d{1,9}) at level \d+> (?:Moving to )?"
            r"(?P<title>[^\n<]+)",
            fork="<Sub Searches>\n",
            join="<End Sub Searches>\n",
            mode="text",
            rebuilt=Rebuilt(
                prompt=_search_prompt,
                success=r"Goal Reached(?:\s+(?P<text>\S.*))?",
                report="<Goal Reached in Sub Search {number} at level 1 at {title}>\n{text}\n",
                failure="<No Solution in Sub Search {number} at level 1 at {title}>\n",
                replaces_plan=True,
            ),
        ),
    )
}
"""By name. ``replace`` makes a form of them that a model was trained for otherwise."""
