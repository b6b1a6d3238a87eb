"""Parallel regions that a model writes by itself: a plan whose parts are independent, or say what
they depend on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Literal, NamedTuple

from weft.errors import OutputInvalid

__all__ = ["FORMS", "Branch", "RegionForm", "numbered_paths"]

JoinMode = Literal["text", "shared"]


class Branch(NamedTuple):
    """One part of a region, as the plan announces it."""

    number: int
    title: str
    needs: tuple[int, ...] = ()
    """Numbers of the branches whose text it must see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionForm:
    """How a model writes a region: what ends its plan, what one branch of it looks like, and how
    branches and what follows them begin. Templates may name ``{number}`` and ``{title}``.
    """

    name: str
    opens: str
    """What a plan begins with; empty: the whole answer so far is the plan."""
    plan_end: str
    """Generation stops once this is written: the plan is complete."""
    item: str
    """Regular expression of a branch in the plan, with the groups ``number``, ``title`` and, where
    branches may depend on each other, ``needs``."""
    head: str
    """What a branch is given to go on from."""
    tail: str
    """Generation of a branch stops at this."""
    join: str
    """What the text behind the branches is given to go on from."""
    mode: JoinMode = "shared"
    """How such models were trained to go on: on the branches' ``text``, one after the other, or
    on their KV, ``shared`` as it is."""
    is_rebuilt: bool = False
    """A branch starts from its head alone rather than from all that was said."""
    max_branches: int = 50

    def plan(self, text: str) -> tuple[Branch, ...]:
        """The branches of the plan that ``text`` ends with; none when it has no plan.

        Raises: OutputInvalid when branches bear one number twice, need what the plan does not
        have, or each other in a circle, or are more than ``max_branches``.
        """
        start = text.rfind(self.opens) if self.opens else 0
        if start < 0 or not text.rstrip().endswith(self.plan_end):
            return ()
        found = [_branch(match) for match in re.finditer(self.item, text[start:])]
        if len(found) > self.max_branches:
            raise self._invalid(f"{len(found)} branches, more than {self.max_branches}")
        numbers = [branch.number for branch in found]
        for number in set(numbers):
            if numbers.count(number) > 1:
                raise self._invalid(f"branch {number} twice")
        for branch in found:
            for need in branch.needs:
                if need not in numbers:
                    raise self._invalid(
                        f"branch {branch.number}, which needs {need}: there is none"
                    )
        try:
            TopologicalSorter({branch.number: branch.needs for branch in found}).prepare()
        except CycleError as error:
            circle = " needs ".join(map(str, error.args[1]))
            raise self._invalid(f"branches that wait for each other: {circle}") from None
        return tuple(found)

    def head_of(self, branch: Branch) -> str:
        return self.head.format(number=branch.number, title=branch.title)

    def joined(self, texts: Mapping[int, str], plan: tuple[Branch, ...]) -> str:
        """Branches one after the other in the order of the plan, as if a single stream had written
        them. ``texts`` are what they generated, without their tail."""
        return "".join(
            f"{self.head_of(branch)}{texts[branch.number]}{self.tail}" for branch in plan
        )

    def _invalid(self, what: str) -> OutputInvalid:
        return OutputInvalid(
            f"The model planned a {self.name} region with {what}.",
            remedy="Let it go on without branches, or ask again.",
        )


def numbered_paths(count: int) -> tuple[Branch, ...]:
    """Branches of a region without a plan: so many attempts at the same (ParaThinker)."""
    return tuple(Branch(number, "") for number in range(1, count + 1))


def _branch(match: re.Match[str]) -> Branch:
    groups = match.groupdict()
    needs = tuple(int(need) for need in re.findall(r"\d+", groups.get("needs") or ""))
    return Branch(int(groups["number"]), (groups.get("title") or "").strip(), needs)


_OUTLINE = r"<Outline>\s*(?P<number>\d+)\s*:\s*(?P<title>.*?)\s*</Outline>"

FORMS: Mapping[str, RegionForm] = {
    form.name: form
    for form in (
        # ThreadWeaver: <Parallel><Outlines><Outline> 1: …</Outline>…</Outlines><Thread> 1: …
        RegionForm(
            name="threadweaver",
            opens="<Outlines>",
            plan_end="</Outlines>",
            item=_OUTLINE,
            head="<Thread> {number}:",
            tail="</Thread>",
            join="<Conclusion>",
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
        ),
        # MedVerse: a plan of steps that say what they depend on.
        RegionForm(
            name="medverse",
            opens="<Plan>",
            plan_end="</Plan>",
            item=r"Transient Step\s+(?P<number>\d+)\s*:\s*(?P<title>[^;\n]+?)\s*;"
            r"\s*Dependency:\s*\[(?P<needs>[^\]]*)\]",
            head="<Step> Transient Step {number}: {title}\n",
            tail="</Step>",
            join="</Execution>\n<Conclusion>\n",
        ),
        # ParaThinker has no plan: ask ``numbered_paths`` for its branches.
        RegionForm(
            name="parathinker",
            opens="<think>",
            plan_end="<think>",
            item=r"(?!)",
            head="<think{number}>",
            tail="</think{number}>",
            join="<summary>",
        ),
        # Skeleton-of-Thought: an answer that is a numbered list is the plan.
        RegionForm(
            name="skeleton",
            opens="",
            plan_end="",
            item=r"(?m)^\s*(?P<number>\d+)\.\s*(?P<title>\S[^\n]*)",
            head="{number}. {title}",
            tail="\n",
            join="",
            mode="text",
        ),
        # APR: sub-searches, each from a short prompt of its own.
        RegionForm(
            name="apr",
            opens="<Calling Sub Searches>",
            plan_end="<End Calling Sub Searches>",
            item=r"<Start Sub Search\s+(?P<number>\d+) at level \d+>\s*(?P<title>[^\n<]+)",
            head="{title}",
            tail="\n",
            join="<Sub Searches>\n",
            mode="text",
            is_rebuilt=True,
        ),
    )
}
"""Regions as published models and prompts write them, by name."""
