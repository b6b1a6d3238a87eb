"""Trajectories that begin alike, packed into one tree: what they have in common is there once.

Every token is a cell that hangs from what it follows, so two sequences share their cells up to
where they part: a cell's place is its depth, and it sees what it descends from. Branches that a
Past holds side by side stay apart even where they begin with the same tokens: the stream behind
them saw both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from weft.programs.past import Frame, Placing, Segment
from weft.programs.token_tree import TokenNode, TokenTree
from weft.programs.trajectory import Trajectory

__all__ = ["merge_trajectories"]

Place = tuple[tuple[int, ...], Placing]
"""The cells that a cell follows, and how several are joined."""


def merge_trajectories(trajectories: Iterable[Trajectory]) -> TokenTree:
    """One tree that holds them all: every token sees the same tokens from the same distances as in
    its own trajectory.

    A token that several drew is there once, with all of them as its sources and the log-probability
    of the first that knows it. Two ``rotated`` joins that lay the same branches in different orders
    share nothing.
    One that cannot be computed again makes a tree that cannot.
    """
    # Joins first: they say which branches are apart. Larger ones hold more of them.
    ordered = sorted(trajectories, key=lambda one: -len(one.past.segments) if one.past else 0)
    apart: set[int] = set()
    while True:
        trie = _Trie()
        packed = [_Packed(trie, one, is_shared=at not in apart) for at, one in enumerate(ordered)]
        tree, places = trie.compress()
        broken = {at for at, one in enumerate(packed) if not one.is_kept(tree, places)}
        if not broken:
            reasons = dict.fromkeys(one.why_not for one in ordered if one.why_not)
            return replace(tree, why_not=" ".join(reasons))
        assert not broken & apart, "what shares nothing stands as it stood"
        apart |= broken


@dataclass(slots=True, eq=False)
class _Cell:
    token: int
    place: Place
    sources: list[str] = field(default_factory=list[str])
    logprob: float | None = None
    behaviour: float | None = None

    @property
    def author(self) -> object:
        """Neighbours of one author make one node."""
        return self.sources, self.logprob is None, self.behaviour is None


class _Trie:
    """Cells, each behind those it follows."""

    def __init__(self) -> None:
        self.cells: list[_Cell] = []
        self.heads: set[int] = set()
        """Cells that begin a node whatever they follow."""
        self._behind: dict[Place, dict[int, list[int]]] = {}
        """The cells at a place, by token. Several have one token where branches stay apart."""

    def extend(self, place: Place, tokens: Sequence[int], taken: set[int] | None) -> list[int]:
        """The cells of tokens in a row, found or made. ``taken`` are not to be found; None: all
        are made."""
        path = [] if taken is None else self._longest(place, tokens, taken)
        for token in tokens[len(path) :]:
            at = ((path[-1],), "shared") if path else place
            path.append(self._make(at, token))
        return path

    def _longest(self, place: Place, tokens: Sequence[int], taken: set[int]) -> list[int]:
        """The cells that go on longest with these tokens."""
        ends, depth = self._at(place, tokens[0], taken), 0
        found: list[int] = []
        while ends:
            found, depth = ends, depth + 1
            if depth == len(tokens):
                break
            ends = [
                cell for end in ends for cell in self._at(((end,), "shared"), tokens[depth], taken)
            ]
        path = found[:1]
        while path and len(path) < depth:
            path.append(self.cells[path[-1]].place[0][0])
        return path[::-1]

    def _at(self, place: Place, token: int, taken: set[int]) -> list[int]:
        return [cell for cell in self._behind.get(place, {}).get(token, ()) if cell not in taken]

    def _make(self, place: Place, token: int) -> int:
        self._behind.setdefault(place, {}).setdefault(token, []).append(len(self.cells))
        self.cells.append(_Cell(token, place))
        return len(self.cells) - 1

    def compress(self) -> tuple[TokenTree, list[tuple[int, int]]]:
        """The tree, and of every cell its node and its place in it."""
        runs: list[list[int]] = []
        places: list[tuple[int, int]] = []
        followers = [0] * len(self.cells)
        for cell in self.cells:
            for parent in cell.place[0]:
                followers[parent] += 1
        for number, cell in enumerate(self.cells):
            parents = cell.place[0]
            if self._goes_on(number) and followers[parents[0]] == 1:
                run = places[parents[0]][0]
            else:
                run = len(runs)
                runs.append([])
            places.append((run, len(runs[run])))
            runs[run].append(number)
        return TokenTree(nodes=tuple(self._node(run, places) for run in runs)), places

    def _goes_on(self, number: int) -> bool:
        """By the same author as the one cell before it."""
        cell = self.cells[number]
        parents = cell.place[0]
        if len(parents) != 1 or number in self.heads:
            return False
        return self.cells[parents[0]].author == cell.author

    def _node(self, run: Sequence[int], places: Sequence[tuple[int, int]]) -> TokenNode:
        cells = [self.cells[number] for number in run]
        parents, placing = cells[0].place
        return TokenNode(
            tokens=tuple(cell.token for cell in cells),
            parents=tuple(places[parent][0] for parent in parents),
            placing=placing,
            sources=tuple(cells[0].sources),
            logprobs=tuple(cell.logprob for cell in cells if cell.logprob is not None),
            behaviours=tuple(cell.behaviour for cell in cells if cell.behaviour is not None),
        )


class _Packed:
    """Where a trajectory's cells are."""

    def __init__(self, trie: _Trie, one: Trajectory, *, is_shared: bool) -> None:
        self._past = one.past
        self._paths: list[list[int]] = []
        """Of every segment of the past; the last is the stream's."""
        taken: set[int] | None = set() if is_shared else None
        for segment in self._segments((*one.prompt, *one.tokens)):
            ends = tuple(self._paths[parent][-1] for parent in segment.parents)
            place: Place = (ends, segment.placing if len(ends) > 1 else "shared")
            self._paths.append(trie.extend(place, segment.tokens, taken))
            if taken is not None:
                taken.update(self._paths[-1])
            if one.past is not None:
                trie.heads.add(self._paths[-1][0])
        self._note(trie, one)

    def _segments(self, stream: tuple[int, ...]) -> list[Segment]:
        past = self._past
        if past is None:
            return [Segment(tokens=stream)]
        last = Segment(tokens=stream, parents=past.parents, placing=past.placing)
        return [*past.segments, last]

    def _note(self, trie: _Trie, one: Trajectory) -> None:
        """Say who drew the stream's last tokens."""
        for at, number in enumerate(self._paths[-1][len(one.prompt) :]):
            cell = trie.cells[number]
            if cell.logprob is None and one.logprobs:
                cell.logprob = one.logprobs[at]
            if cell.behaviour is None and one.behaviours:
                cell.behaviour = one.behaviours[at]
            cell.sources.append(one.source)

    def is_kept(self, tree: TokenTree, places: Sequence[tuple[int, int]]) -> bool:
        """Everything stands in the tree where it stood in the past. Only a turn may change it:
        nodes are laid end to end in the tree's order."""
        if self._past is None or not tree.has_turns:
            return True
        frames = tree.frames()
        for frame, path in zip(self._past.frames, self._paths, strict=True):
            viewer = places[path[0]][0]
            seen = {**frames[viewer].starts, viewer: frames[viewer].end}
            for start, cells in ((frame.end, path[:1]), *self._seen(frame)):
                stand = (seen[node] + inside for node, inside in map(places.__getitem__, cells))
                if list(stand) != [start + offset for offset in range(len(cells))]:
                    return False
        return True

    def _seen(self, frame: Frame) -> Iterable[tuple[int, Sequence[int]]]:
        return ((start, self._paths[number]) for number, start in frame.starts.items())
