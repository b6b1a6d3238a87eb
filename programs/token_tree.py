"""What was generated in branches, as one value that a trainer can compute with: token ids, what
each of them follows, who drew it, and how likely it was then.

A tree is made of nodes as a Past is of segments: a node sees its parents, all that they see, and
its own tokens up to each. So it holds one line of text, the samples of one prompt, the turns of an
agent, and branches that were joined, all alike; nodes with several parents make it a DAG.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from weft.errors import InvalidRequest
from weft.programs.past import Frame, Past, Placing, Segment, check_segments, frames_of

__all__ = ["TokenNode", "TokenTree", "TreeBranch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenNode:
    """Tokens in a row that one author wrote."""

    tokens: tuple[int, ...]
    """Never empty."""
    parents: tuple[int, ...] = ()
    """Numbers of earlier nodes; none for one that begins anew."""
    placing: Placing = "shared"
    """How several parents are joined."""
    sources: tuple[str, ...] = ()
    """The sequences that drew these very tokens here, by the lineage of their Step; empty where
    the tokens were given. Several, when samples of one prompt begin alike."""
    logprobs: tuple[float, ...] = ()
    """Of every token when it was first drawn, from the raw logits, natural log; empty where
    nobody asked for them."""
    behaviours: tuple[float, ...] = ()
    """As ``logprobs``, under the distribution that was really drawn from."""

    @property
    def is_generated(self) -> bool:
        return bool(self.sources)


class TreeBranch(NamedTuple):
    """One line of tokens down a tree, as an engine computes it."""

    past: Past | None
    """What the line goes on from, where it begins behind a join."""
    nodes: tuple[int, ...]
    """Numbers of the nodes in it; each but the first has the one before as its only parent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTree:
    """Nodes, parents first. The order counts: where a join is ``rotated``, branches are laid end to
    end in it.

    A token is predicted by the logits of the token before it: in its node, or at the end of its
    node's only parent. The first token of a node with no parent or several has none before it, so
    it is always given.

    Raises: InvalidRequest at construction for what is no such tree.
    """

    nodes: tuple[TokenNode, ...]
    why_not: str = ""
    """Why its log-probabilities cannot be computed again; empty: they can."""

    def __post_init__(self) -> None:
        check_segments(self.nodes, "a tree")
        for number, node in enumerate(self.nodes):
            _check_draws(number, node)

    @property
    def is_recomputable(self) -> bool:
        return not self.why_not

    @property
    def has_joins(self) -> bool:
        """Some node has several parents."""
        return any(len(node.parents) > 1 for node in self.nodes)

    @property
    def has_turns(self) -> bool:
        """Some token is met at other positions than the one it was written at."""
        return any(len(node.parents) > 1 and node.placing == "rotated" for node in self.nodes)

    @property
    def num_tokens(self) -> int:
        return sum(len(node.tokens) for node in self.nodes)

    @property
    def num_generated_tokens(self) -> int:
        """Each counted once, whoever drew it."""
        return sum(len(node.tokens) for node in self.nodes if node.is_generated)

    def frames(self) -> tuple[Frame, ...]:
        """Where things stand for every node. O(nodes²)."""
        return frames_of(self.nodes)

    def starts(self) -> tuple[int, ...]:
        """The position that every node's first token was written at."""
        if self.has_turns:
            return tuple(frame.end for frame in self.frames())
        starts: list[int] = []
        for node in self.nodes:
            ends = (starts[parent] + len(self.nodes[parent].tokens) for parent in node.parents)
            starts.append(max(ends, default=0))
        return tuple(starts)

    def ancestors(self, number: int) -> frozenset[int]:
        """The nodes that node ``number`` sees beside itself."""
        found: set[int] = set()
        stack = [*self.nodes[number].parents]
        while stack:
            parent = stack.pop()
            if parent not in found:
                found.add(parent)
                stack += self.nodes[parent].parents
        return frozenset(found)

    def branch(self, number: int) -> TreeBranch:
        """The line of tokens that ends with node ``number``.

        Raises: InvalidRequest when it begins behind more than a Past may hold.
        """
        line = [number]
        while len(parents := self.nodes[line[-1]].parents) == 1:
            line += parents
        return TreeBranch(self._past(line[-1]), tuple(reversed(line)))

    def _past(self, root: int) -> Past | None:
        if not self.nodes[root].parents:
            return None
        seen = sorted(self.ancestors(root))
        numbers = {number: at for at, number in enumerate(seen)}

        def renumbered(node: TokenNode) -> tuple[int, ...]:
            return tuple(numbers[parent] for parent in node.parents)

        nodes = [self.nodes[number] for number in seen]
        return Past(
            segments=tuple(
                Segment(tokens=node.tokens, parents=renumbered(node), placing=node.placing)
                for node in nodes
            ),
            parents=renumbered(self.nodes[root]),
            placing=self.nodes[root].placing,
        )

    def to_json(self) -> str:
        """One JSON object; ``from_json`` gives an equal tree."""
        return to_json(self).decode()

    @staticmethod
    def from_json(text: str | bytes) -> TokenTree:
        """Raises: InvalidRequest for what is no tree."""
        try:
            return TypeAdapter(TokenTree).validate_json(text, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InvalidRequest(
                f"A token tree cannot be read: {first['msg']} at {where or 'the top'!r}.",
                remedy="Give what TokenTree.to_json wrote.",
            ) from error


def _check_draws(number: int, node: TokenNode) -> None:
    if min(node.tokens) < 0:
        raise InvalidRequest(
            f"Segment {number} of a tree holds the token id {min(node.tokens)}.",
            remedy="Token ids are at least 0.",
        )
    if node.sources and len(node.parents) != 1:
        raise InvalidRequest(
            f"Segment {number} of a tree was generated behind the parents {node.parents!r}.",
            remedy="What is generated follows one token: write something behind a join first.",
        )
    for name, values in (("logprobs", node.logprobs), ("behaviours", node.behaviours)):
        if values and not (node.sources and len(values) == len(node.tokens)):
            raise InvalidRequest(
                f"Segment {number} of a tree has {len(values)} {name} for {len(node.tokens)} "
                f"tokens of the sources {node.sources!r}.",
                remedy="Give one for every token that was generated, or none.",
            )
        if not all(map(math.isfinite, values)):
            raise InvalidRequest(
                f"Segment {number} of a tree has {name} that are no finite numbers.",
                remedy="Leave them out where they are not known.",
            )
