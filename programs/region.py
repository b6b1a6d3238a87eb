"""One parallel region: its branches while they run, and how they are seen together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from weft.errors import WeftError
from weft.programs.context import Context, Part, context, join
from weft.programs.region_form import Branch, JoinMode, RegionForm
from weft.programs.stream import Stream
from weft.programs.unfolded import BranchRun, RegionRun

__all__ = ["Plan", "Region"]


class Plan(NamedTuple):
    """What a model wrote to announce a region."""

    branches: Sequence[Branch]
    text: str
    """The stretch of text that ends with it."""
    request: str
    """What the user asked, where that is plain text; else empty."""


class _Write(Protocol):
    def __call__(self, stream: Stream, tail: str, /) -> Awaitable[Stream]:
        """Go on with a stream to its tail or the end of its turn."""
        ...


class Region:
    """Run it once, then join it."""

    def __init__(
        self, form: RegionForm, how: JoinMode, trunk: Stream, plan: Plan, write: _Write
    ) -> None:
        self._form = form
        self._how = how
        self._plan = plan
        self._told = plan.request + trunk.text
        self._write = write
        if form.rebuilt is not None and form.rebuilt.replaces_plan:
            trunk = trunk.without_plan(form, plan.text)
        self._trunk = trunk.given(form.fork)
        self._origins: dict[int, Context] = {}
        """What branches see before their heads."""
        self._tasks: dict[int, asyncio.Task[Stream]] = {}

    async def run(self) -> Stream:
        """All branches, each as soon as those that it needs are done; then what they came from,
        with all of them behind it. A branch that fails ends the others."""
        try:
            async with asyncio.TaskGroup() as group:
                for branch in self._plan.branches:
                    self._tasks[branch.number] = group.create_task(self.branch(branch))
        except ExceptionGroup as failed:
            # The first one is why the others ended.
            raise failed.exceptions[0] from failed.exceptions[0].__cause__
        return self._joined({number: task.result() for number, task in self._tasks.items()})

    async def branch(self, branch: Branch) -> Stream:
        """One of them, from its head to its tail."""
        for need in branch.needs:
            await self._tasks[need]
        form, tail = self._form, self._form.tail_of(branch)
        try:
            self._origins[branch.number] = origin = self._origin(branch)
            stream = await self._write(self._begun(branch, origin), tail)
        except WeftError as error:
            where = f"Branch {branch.number} ({branch.title!r}) of a {form.name} region"
            raise error.within(where) from error
        return stream if stream.text.endswith(tail) else stream.given(tail)

    def _begun(self, branch: Branch, origin: Context) -> Stream:
        trunk = self._trunk
        return Stream(
            context=origin.write(*self._form.head_parts(branch)),
            place=f"{trunk.place}.{branch.number}".removeprefix("."),
            key=f"{trunk.key}/{len(trunk.regions)}.{branch.number}",
            depth=trunk.depth + 1,
        )

    def _origin(self, branch: Branch) -> Context:
        trunk = self._trunk.context
        if self._form.rebuilt is not None:
            asked = self._form.rebuilt.ask(branch, self._told, self._plan.request, self._plan.text)
            return context(asked, is_raw=trunk.lineup()[0].is_raw)
        if self._how == "text":
            return trunk.write(*self._parts(self._ancestors(branch)))
        if not branch.needs:
            return trunk.fork(1)[0]
        return join([self._tasks[need].result().context for need in branch.needs], how="shared")

    def _ancestors(self, branch: Branch) -> Sequence[Branch]:
        """The branches that it needs, and those that they need, in the order of the plan."""
        known = {one.number: one for one in self._plan.branches}
        found, open_needs = set[int](), list(branch.needs)
        while open_needs:
            if (need := open_needs.pop()) not in found:
                found.add(need)
                open_needs += known[need].needs
        return [one for one in self._plan.branches if one.number in found]

    def _parts(self, branches: Sequence[Branch]) -> Iterator[Part]:
        """What these branches have written from their heads on. They are done."""
        for branch in branches:
            written = self._tasks[branch.number].result().context
            yield from written.parts[len(self._origins[branch.number].parts) :]

    def _joined(self, streams: Mapping[int, Stream]) -> Stream:
        trunk, branches = self._trunk, self._plan.branches
        if self._form.rebuilt is not None:
            pieces = [self._reported(branch, streams[branch.number]) for branch in branches]
            seen = trunk.context.write(*filter(None, pieces))
        else:
            pieces = [self._form.head_of(one) + streams[one.number].text for one in branches]
            if self._how == "text":
                seen = trunk.context.write(*self._parts(branches))
            else:
                seen = join([streams[one.number].context for one in branches], how="shared")
        written = replace(trunk, context=seen, text=trunk.text + "".join(pieces))
        runs = tuple(self._run_of(branch, streams[branch.number]) for branch in branches)
        return written.given(self._form.join).ran(RegionRun(branches=runs))

    def _reported(self, branch: Branch, stream: Stream) -> str:
        assert self._form.rebuilt is not None, "asked for rebuilt branches alone"
        return self._form.rebuilt.reported(branch, self._without_tail(branch, stream))

    def _without_tail(self, branch: Branch, stream: Stream) -> str:
        return stream.text.removesuffix(self._form.tail_of(branch))

    def _run_of(self, branch: Branch, stream: Stream) -> BranchRun:
        return BranchRun(
            number=branch.number,
            title=branch.title,
            needs=branch.needs,
            text=self._without_tail(branch, stream),
            num_tokens=stream.num_tokens,
            num_critical=stream.num_critical,
            regions=stream.regions,
        )
