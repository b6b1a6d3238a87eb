"""How models write parallel regions: a plan whose parts are independent, or say what they depend
on; the parts; and what follows them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Literal, NamedTuple

from weft.errors import InvalidRequest, OutputInvalid
from weft.programs.context import Part
from weft.programs.lead import Control

__all__ = ["Branch", "JoinMode", "Rebuilt", "RegionForm", "numbered_paths"]

JoinMode = Literal["text", "shared"]


class Branch(NamedTuple):
    """One part of a region, as the plan announces it."""

    number: int
    title: str
    needs: tuple[int, ...] = ()
    """Numbers of the branches whose text it must see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """Branches that start anew, each from a short prompt of its own, and what of them returns.

    Templates may name ``{number}`` and ``{title}``, as ``str.format`` reads them.
    """

    prompt: str | Callable[[Branch, str], str]
    """What a branch is asked: a template, which may also name the ``{request}`` and the ``{plan}``;
    or a function of the branch and all text before it, the request included."""
    report: str
    """How a branch stands among the others once it is joined: ``{text}`` is what it found."""
    success: str = ""
    """Regular expression of what a branch that succeeds has written; its group ``text``, if it has
    one, is what the branch found, else all of it. Empty: every branch succeeds."""
    failure: str = ""
    """What stands there of a branch that did not: nothing of its text."""
    replaces_plan: bool = False
    """What was found takes the place of the plan, which is no longer seen."""

    def ask(self, branch: Branch, told: str, request: str, plan: str) -> str:
        """What a branch is asked; ``told`` is all text before it."""
        if callable(self.prompt):
            return self.prompt(branch, told)
        return _filled(self.prompt, branch, request=request, plan=plan)

    def reported(self, branch: Branch, text: str) -> str:
        """What returns of a branch that has written ``text``."""
        found = re.search(self.success, text, re.DOTALL)
        if found is None:
            return _filled(self.failure, branch)
        return _filled(self.report, branch, text=found.groupdict().get("text") or text)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionForm:
    """How a model writes a region: what ends its plan, what one branch of it looks like, and how
    branches and what follows them begin. Templates may name ``{number}`` and ``{title}``, as
    ``str.format`` reads them. Control tokens count in all of them, and never in a title.

    Raises: InvalidRequest at construction for what cannot be run.
    """

    name: str
    opens: str = ""
    """What a plan begins with; empty: all that was written is the plan."""
    plan_end: str = ""
    """Generation stops once this is written: the plan is complete. Empty: when the turn ends."""
    item: str = ""
    """Regular expression of a branch in the plan, with the groups ``number``, ``title`` and, where
    branches may depend on each other, ``needs``. Empty: such models write no plan, and make as many
    attempts at the same as they are asked for (``numbered_paths``)."""
    outline: str = ""
    """Template that asks for a plan in a request of its own and names the ``{request}``. Empty:
    models plan by themselves, while they answer."""
    fork: str = ""
    """What stands between the plan and the branches."""
    head: str = ""
    """What a branch is given to go on from."""
    tail: str = ""
    """Generation of a branch stops at this. Empty: when the turn ends."""
    join: str = ""
    """What the text behind the branches is given to go on from. Empty: nothing follows."""
    mode: JoinMode = "shared"
    """How such models were trained to go on: on the branches' ``text``, one after the other, or
    on their KV, ``shared`` as it is."""
    nests: bool = False
    """A branch may write regions of its own."""
    rebuilt: Rebuilt | None = None
    """None: a branch starts from all that was said."""
    max_branches: int = 50

    def __post_init__(self) -> None:
        if self.mode == "shared" and (self.rebuilt is not None or not self.join):
            raise InvalidRequest(
                f"Regions of form {self.name!r} have the mode 'shared'.",
                remedy="It needs a text to join by, and branches that are not rebuilt.",
            )
        if self.rebuilt is not None and self.rebuilt.replaces_plan and not self.plan_end:
            raise InvalidRequest(
                f"Branches of form {self.name!r} take the place of the plan, which has no end.",
                remedy="Give plan_end.",
            )
        if self.item and not (self.plan_end or self.outline):
            raise InvalidRequest(
                f"Plans of form {self.name!r} have no end.",
                remedy="Give plan_end, or an outline that asks for a plan alone.",
            )

    def plan(self, text: str) -> tuple[Branch, ...]:
        """The branches of the plan that ``text`` ends with; none when it has no plan.

        Raises: OutputInvalid when branches bear one number twice, need what the plan does not
        have, or each other in a circle, or are more than ``max_branches``.
        """
        start = self.plan_start(text)
        if not self.item or start < 0 or not text.rstrip().endswith(self.plan_end):
            return ()
        found = [_branch(match) for match in re.finditer(self.item, text[start:], re.MULTILINE)]
        for complaint in (*self._excess(found), *_bad_numbers(found), *_circle(found)):
            raise OutputInvalid(
                f"The model planned a {self.name} region with {complaint}.",
                remedy="Let it go on without branches, or ask again.",
            )
        return tuple(found)

    def plan_start(self, text: str) -> int:
        """Where the plan that ``text`` ends with begins; -1 when it has none."""
        return text.rfind(self.opens) if self.opens else 0

    def head_of(self, branch: Branch) -> str:
        return _filled(self.head, branch)

    def head_parts(self, branch: Branch) -> tuple[Part, ...]:
        """The head to write: control tokens count in the form's own words, not in the title."""
        before, *after = self.head.split("{title}")
        # A space belongs to the word that follows it in most vocabularies.
        stem = before.rstrip(" ") if after else before
        titled = before[len(stem) :] + "".join(f"{{title}}{piece}" for piece in after)
        parts = (Control(_filled(stem, branch)), _filled(titled, branch))
        return tuple(part for part in parts if part not in ("", Control("")))

    def tail_of(self, branch: Branch) -> str:
        return _filled(self.tail, branch)

    def _excess(self, found: Sequence[Branch]) -> Iterator[str]:
        if len(found) > self.max_branches:
            yield f"{len(found)} branches, more than {self.max_branches}"


def numbered_paths(count: int) -> tuple[Branch, ...]:
    """Branches of a region without a plan: so many attempts at the same (ParaThinker)."""
    return tuple(Branch(number, "") for number in range(1, count + 1))


def _filled(template: str, branch: Branch, **more: str) -> str:
    return template.format(number=branch.number, title=branch.title, **more)


def _branch(match: re.Match[str]) -> Branch:
    groups = match.groupdict()
    needs = tuple(int(need) for need in re.findall(r"\d{1,9}", groups.get("needs") or ""))
    return Branch(int(groups["number"]), (groups.get("title") or "").strip(), needs)


def _bad_numbers(found: Sequence[Branch]) -> Iterator[str]:
    numbers = [branch.number for branch in found]
    yield from (f"branch {number} twice" for number in numbers if numbers.count(number) > 1)
    for branch in found:
        for need in branch.needs:
            if need not in numbers:
                yield f"branch {branch.number}, which needs {need}: there is none"


def _circle(found: Sequence[Branch]) -> Iterator[str]:
    try:
        TopologicalSorter({branch.number: branch.needs for branch in found}).prepare()
    except CycleError as error:
        yield f"branches that wait for each other: {' needs '.join(map(str, error.args[1]))}"
