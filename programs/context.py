"""What the assistant has written so far, where it may fork into branches and join them again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from weft.errors import InvalidRequest
from weft.programs.handle import Step
from weft.programs.lead import Control, check_lead
from weft.programs.past import Placing
from weft.programs.prompt import Prompt, find_steps
from weft.programs.sampling import MAX_BRANCHES

__all__ = ["Context", "Joining", "Part", "context", "join"]

Part: TypeAlias = str | int | Control | Step[Any]
"""Plain text, a token id, a Control, or what a ``gen`` wrote: its very tokens, awaited or not."""

Joining = Literal["text"] | Placing
"""How branches are seen together: as one text, computed anew from the second branch on; or by the
keys and values that they have, ``shared`` or ``rotated`` (see Past)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Context:
    """A prompt and what was written behind it. Immutable: branches of one Context share its KV.

    Give it to ``gen`` as the prompt, and the Step to ``write``, awaited or not, to go on:

        start = context("Which is taller?")
        one, two = start.fork(["The tower: ", "The mast: "])
        heights = [one.write(gen(one, stop="m")), two.write(gen(two, stop="m"))]
        answer = await gen(join(heights, how="shared").write("So: "))
    """

    prompt: Prompt = ""
    """Of a Context without ``after``: what the chat template is applied to."""
    is_raw: bool = False
    """The prompt is plain text to continue."""
    parts: tuple[Part, ...] = ()
    """Written behind the prompt or behind ``after``."""
    after: tuple[Context, ...] = ()
    """What it goes on from: the Context that was forked, or the branches that were joined."""
    placing: Placing = "shared"
    """How several of them are seen together."""

    def write(self, *parts: Part) -> Context:
        """With more behind it. A Step must be a ``gen`` with one sequence.

        Raises: InvalidRequest for what is no Part.
        """
        check_lead(parts)
        return replace(self, parts=(*self.parts, *parts))

    def fork(self, branches: int | Sequence[Part]) -> tuple[Context, ...]:
        """So many branches that go on from here and never see each other; or one for each
        beginning given. Raises: InvalidRequest."""
        heads = [()] * branches if isinstance(branches, int) else [(head,) for head in branches]
        if not 1 <= len(heads) <= MAX_BRANCHES:
            raise InvalidRequest(
                f"A fork into {len(heads)} branches.",
                remedy=f"Give between 1 and {MAX_BRANCHES}.",
            )
        return tuple(Context(after=(self,)).write(*head) for head in heads)

    @property
    def steps(self) -> Iterator[Step[Any]]:
        """Every Step that it is made of, once each."""
        found = (step for one in self.lineup() for step in (*find_steps(one.prompt), *one.parts))
        yield from dict.fromkeys(step for step in found if isinstance(step, Step))

    @property
    def has_joins(self) -> bool:
        """Branches are seen together by their keys and values, here or further back."""
        return any(len(one.after) > 1 for one in self.lineup())

    def lineup(self) -> list[Context]:
        """All that it goes on from, each behind what that goes on from itself; then this one."""
        found: dict[Context, None] = {}
        stack: list[tuple[Context, bool]] = [(self, False)]
        while stack:
            one, is_complete = stack.pop()
            if is_complete:
                found[one] = None
            elif one not in found:
                stack.append((one, True))
                stack += [(before, False) for before in reversed(one.after)]
        return list(found)


def context(prompt: Prompt, *, is_raw: bool = False) -> Context:
    """Where the assistant begins to write."""
    return Context(prompt=prompt, is_raw=is_raw)


def join(branches: Sequence[Context], *, how: Joining = "text") -> Context:
    """All branches seen together, in their order; what follows must be written behind it.

    ``text`` serves every engine. The others need an engine that sees branches, compute nothing
    anew, and suit models that were trained so.

    Raises: InvalidRequest when there is nothing to join, or branches to join as text do not come
    from one fork.
    """
    if not branches:
        raise InvalidRequest("No branch is given to join.", remedy="Give at least one.")
    if how not in ("text", "shared", "rotated"):
        raise InvalidRequest(f"how is {how!r}.", remedy="It must be 'text', 'shared' or 'rotated'.")
    if how != "text":
        return Context(after=tuple(dict.fromkeys(branches)), placing=how)
    origin = branches[0].after
    if len(origin) != 1 or any(branch.after != origin for branch in branches):
        raise InvalidRequest(
            "The branches to join as text do not come from one fork.",
            remedy="Join the branches of each fork by themselves first, as text.",
        )
    return Context(after=origin, parts=tuple(part for branch in branches for part in branch.parts))
