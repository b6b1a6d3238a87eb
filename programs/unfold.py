"""Answers whose parallel regions are forked, run and joined as the model plans them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Unpack

from weft.errors import InvalidRequest
from weft.programs.context import Context, context
from weft.programs.dialogue import Chat
from weft.programs.generate import GenOptions, gen
from weft.programs.handle import Step
from weft.programs.prompt import Prompt
from weft.programs.region import Plan, Region
from weft.programs.region_form import Branch, JoinMode, RegionForm, numbered_paths
from weft.programs.regions import FORMS
from weft.programs.seeds import step_seed
from weft.programs.strand import current_strand
from weft.programs.stream import Stream
from weft.programs.unfolded import Unfolded

__all__ = ["gen_regions"]

FIXED = ("lead", "stop", "keeps_stop", "tool_schemas", "name")
"""Options of a generation that a form decides."""


async def gen_regions(
    prompt: Prompt | Chat | Context,
    *,
    form: str | RegionForm = "multiverse",
    how: JoinMode | None = None,
    num_paths: int | None = None,
    max_regions: int = 16,
    max_depth: int = 3,
    **options: Unpack[GenOptions],
) -> Unfolded:
    """Have the model answer, and whenever it has planned a region, run the branches of the plan
    side by side, join them, and let it go on, until it ends its turn.

    Every stretch of text is a generation of its own: what the answer writes outside of regions is
    the Step ``trunk``, a branch ``branch 2``, or ``branch 2.1`` inside branch 2. A branch starts as
    soon as those that it needs are done, and sees them and what they saw alone. Where one fails,
    the others are cancelled, and the error says which it was.

    ``how`` joins otherwise than the form says: ``text`` serves engines that do not see branches.
    ``num_paths`` is for forms without a plan (``parathinker``), and for them alone. One stream
    plans ``max_regions`` times at most, and regions lie within each other ``max_depth`` deep at
    most; further plans are text like any other, and written on. ``options`` are those of every
    generation, so ``max_tokens`` limits one stretch; with ``seed`` each draws with a seed that
    follows from it and from the place of the stretch.

    Raises: StepOutsideRun, InvalidRequest, OutputInvalid for a plan that cannot be run (twice the
    same number, unknown or circular needs, too many branches), UnsupportedFeature where the engine
    does not see branches, and what ``gen`` raises.
    """
    current_strand("gen_regions()")
    known = _form(form) if isinstance(form, str) else form
    for name in FIXED:
        if name in options:
            raise InvalidRequest(f"{name} is given.", remedy="Leave it out: the form decides it.")
    _check(known, how, num_paths)
    start = _start(prompt, options)
    unfolder = _Unfolder(
        form=known,
        how=how or known.mode,
        max_regions=max_regions,
        max_depth=max_depth,
        request=prompt if isinstance(prompt, str) else "",
        is_raw=start.lineup()[0].is_raw,
        options=options,
    )
    stream = await unfolder.answer(start, num_paths)
    return Unfolded(
        text=stream.text,
        context=stream.context,
        regions=stream.regions,
        num_tokens=stream.num_tokens,
        num_critical=stream.num_critical,
    )


def _form(name: str) -> RegionForm:
    if name not in FORMS:
        raise InvalidRequest(f"form is {name!r}.", remedy=f"It must be one of {', '.join(FORMS)}.")
    return FORMS[name]


def _check(form: RegionForm, how: JoinMode | None, num_paths: int | None) -> None:
    if how not in (None, "text", "shared"):
        raise InvalidRequest(f"how is {how!r}.", remedy="It must be 'text' or 'shared'.")
    if how == "shared":
        replace(form, mode=how)  # refuses what cannot be seen together
    wanted = "None: the form has a plan" if form.item else f"between 1 and {form.max_branches}"
    is_fine = num_paths is None if form.item else num_paths in range(1, form.max_branches + 1)
    if not is_fine:
        raise InvalidRequest(f"num_paths is {num_paths!r}.", remedy=f"It must be {wanted}.")


def _start(prompt: Prompt | Chat | Context, options: GenOptions) -> Context:
    if isinstance(prompt, Context):
        return prompt
    turns: Prompt = list(prompt.turns) if isinstance(prompt, Chat) else prompt
    return context(turns, is_raw=options.get("is_raw", False))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unfolder:
    """How one answer is unfolded."""

    form: RegionForm
    how: JoinMode
    max_regions: int
    max_depth: int
    request: str
    """The prompt, where that is text; else empty."""
    is_raw: bool
    options: GenOptions

    async def answer(self, start: Context, num_paths: int | None) -> Stream:
        trunk = Stream(context=start)
        if self.form.outline:
            return await self._asked(trunk)
        if num_paths is not None:
            trunk = await self._region(trunk, numbered_paths(num_paths), "")
        return await self._write(trunk)

    async def _asked(self, trunk: Stream) -> Stream:
        """A plan that was asked for by itself, and its branches. The plan is no part of it."""
        if not self.request:
            raise InvalidRequest(
                f"The prompt is no text, and form {self.form.name!r} puts it into other prompts.",
                remedy="Give the request as text.",
            )
        asked = context(self.form.outline.format(request=self.request), is_raw=self.is_raw)
        outline = self._gen(asked, "outline")
        plan = self.form.plan(await outline)
        trunk = trunk.counted(outline)
        if not plan:
            return await self._write(trunk)
        trunk = await self._region(trunk, plan, outline.result())
        return await self._write(trunk) if self.form.join else trunk

    async def _write(self, stream: Stream, tail: str = "") -> Stream:
        """Go on to the tail or the end of the turn, with all regions on the way."""
        form = self.form
        is_deep = stream.depth >= (self.max_depth if form.nests else min(self.max_depth, 1))
        for number in range(self.max_regions + 1):
            plan_end = "" if is_deep or number == self.max_regions else form.plan_end
            name = f"branch {stream.place}" if stream.place else "trunk"
            step = self._gen(stream.context, name, (tail, plan_end), f"{stream.key}:{number}")
            written = await step
            stream = stream.drew(step)
            if not plan_end or not written.endswith(plan_end):
                break
            if plan := form.plan(written):
                stream = await self._region(stream, plan, written)
                if not form.join:
                    break
        return stream

    async def _region(self, trunk: Stream, branches: Sequence[Branch], written: str) -> Stream:
        plan = Plan(branches, written, self.request)
        return await Region(self.form, self.how, trunk, plan, self._write).run()

    def _gen(
        self, start: Context, name: str, stops: Sequence[str] = (), key: str = ""
    ) -> Step[str]:
        options: GenOptions = {**self.options, "name": name, "keeps_stop": True}
        options["stop"] = tuple(stop for stop in stops if stop)
        if "seed" in options:
            options["seed"] = step_seed(options["seed"], f"{name}{key}")
        return gen(start, **options)
