"""One line of text that grows: drawn by generations, and by regions in between."""

from __future__ import annotations

from dataclasses import dataclass, replace

from weft.programs.context import Context
from weft.programs.handle import Step
from weft.programs.lead import Control
from weft.programs.region_form import RegionForm
from weft.programs.unfolded import RegionRun

__all__ = ["Stream"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One stream of text as far as it has come. Immutable."""

    context: Context
    text: str = ""
    """Since its head."""
    place: str = ""
    """``2.1`` in the first branch inside branch 2; empty for the trunk."""
    key: str = ""
    """Like ``place``, and tells regions apart: what seeds follow from."""
    depth: int = 0
    num_tokens: int = 0
    num_critical: int = 0
    regions: tuple[RegionRun, ...] = ()

    def given(self, words: str) -> Stream:
        """With words of the form behind it."""
        if not words:
            return self
        return replace(self, context=self.context.write(Control(words)), text=self.text + words)

    def drew(self, step: Step[str]) -> Stream:
        """With what a generation wrote behind it."""
        seen = self.context.write(step)
        return replace(self.counted(step), context=seen, text=self.text + step.result())

    def counted(self, step: Step[str]) -> Stream:
        """With the tokens of a generation counted, whose text is no part of it."""
        num_tokens = sum(len(one.token_ids) for one in step.completions)
        num_critical = self.num_critical + num_tokens
        return replace(self, num_tokens=self.num_tokens + num_tokens, num_critical=num_critical)

    def ran(self, region: RegionRun) -> Stream:
        """With a region's tokens and branches counted."""
        return replace(
            self,
            num_tokens=self.num_tokens + region.num_tokens,
            num_critical=self.num_critical + region.num_critical,
            regions=(*self.regions, region),
        )

    def without_plan(self, form: RegionForm, written: str) -> Stream:
        """With no plan at its end, where ``written`` was drawn last."""
        kept = written[: form.plan_start(written)]
        before = self.context.parts[:-1]
        seen = replace(self.context, parts=(*before, kept) if kept else before)
        return replace(self, context=seen, text=self.text.removesuffix(written) + kept)
