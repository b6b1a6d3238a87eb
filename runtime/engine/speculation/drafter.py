"""Guesses at what one sequence writes next."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

from weft.runtime.engine.speculation.draft import MAX_NODES, ROOT, Draft, Node
from weft.runtime.engine.speculation.echoes import SEPARATOR, Echo, EchoScan
from weft.runtime.engine.speculation.past import Past
from weft.runtime.engine.speculation.rates import FORCED, Trust
from weft.runtime.engine.speculation.walk import GrammarWalk
from weft.runtime.grammar import Matcher

__all__ = ["Drafter"]

_FORCED_WEIGHT = 1 << 20


class _Guess(NamedTuple):
    """Echoes that agree on what follows a node. Ordered by chance, then by age."""

    minus_chance: float
    age: int
    token_id: int
    parent: int
    depth: int
    kind: int
    echoes: list[Echo]


class Drafter:
    """One per sequence, made when it is first guessed for. Reads the sequence's own tokens and
    the Past of its Namespace, and learns what its guesses are worth.

    The tree of what may follow is that of the lookahead framework (Zhao et al., 2023), merged
    from the places found instead of being kept.
    """

    __slots__ = ("_own", "_past", "_trust")

    def __init__(self, tokens: list[int], past: Past) -> None:
        """``tokens`` are the sequence's, live: prompt and output."""
        self._own = EchoScan(tokens)
        self._past = past
        self._trust = Trust()

    def draft(
        self,
        *,
        matcher: Matcher | None,
        forced: Sequence[int],
        barred: Container[int],
        max_depth: int,
        min_chance: float,
    ) -> Draft:
        """The likeliest continuations, best first; empty when nothing suggests any.

        ``forced`` are tokens of the text that the grammar forces next. Tokens that ``matcher``
        refuses or that are in ``barred`` are not guessed, nor what is less likely than
        ``min_chance``. Nothing given is changed in the end.
        """
        draft = Draft()
        walk = None if matcher is None else GrammarWalk(matcher, draft)
        ages = count()
        heap = sorted(self._after(ROOT, 1.0, 1, self._echoes(forced), min_chance, ages))
        while heap and len(draft) < MAX_NODES:
            minus_chance, _, token_id, parent, depth, kind, echoes = heappop(heap)
            if token_id in barred:
                continue
            if walk is not None and not walk.try_extend(parent, token_id):
                continue
            node = draft.add(Node(token_id, parent, depth, -minus_chance, kind))
            if depth < max_depth:
                further = [echo.further() for echo in echoes]
                for guess in self._after(node, -minus_chance, depth + 1, further, min_chance, ages):
                    heappush(heap, guess)
        if walk is not None:
            walk.stand(ROOT)
        return draft

    def verify(self, draft: Draft, drawn: Sequence[int]) -> list[int]:
        """The nodes that came true, from the top down, where ``drawn[0]`` was drawn after the
        sequence's last token and ``drawn[1 + j]`` after node j. Learns from all that were tried.
        """
        path: list[int] = []
        parent: int | None = ROOT
        while parent is not None and (first := draft.first_child(parent)) is not None:
            token_id = drawn[parent + 1]
            self._learn(first.kind, is_hit=first.token_id == token_id)
            parent = draft.child(parent, token_id)
            if parent is not None:
                path.append(parent)
        return path

    def _learn(self, kind: int, *, is_hit: bool) -> None:
        rates = self._past.rates
        self._trust.note(rates.of(kind), is_hit=is_hit)
        rates.note(kind, is_hit=is_hit)

    def _echoes(self, forced: Sequence[int]) -> list[Echo]:
        ending = self._own.tokens
        echoes = [Echo(forced, 0, FORCED)] if forced else []
        if len(ending) >= 2:
            echoes += self._own.find(ending)
            echoes += self._past.index.find(ending)
        return echoes

    def _after(
        self,
        parent: int,
        chance: float,
        depth: int,
        echoes: list[Echo],
        min_chance: float,
        ages: Iterator[int],
    ) -> list[_Guess]:
        """What the echoes suggest after a node, one guess per token."""
        groups = _by_token(echoes)
        total = sum(map(_weight, echoes)) if len(groups) > 1 else 0
        guesses: list[_Guess] = []
        for token_id, group in groups.items():
            kind = _kind(group)
            own_chance = chance * self._trust.chance(self._past.rates.of(kind))
            if total:
                own_chance *= sum(map(_weight, group)) / total
            if own_chance >= min_chance and token_id != SEPARATOR:
                guess = _Guess(-own_chance, next(ages), token_id, parent, depth, kind, group)
                guesses.append(guess)
        return guesses


def _by_token(echoes: list[Echo]) -> dict[int, list[Echo]]:
    if len(echoes) == 1:
        return {echoes[0].token_id: echoes}
    groups: dict[int, list[Echo]] = {}
    for echo in echoes:
        groups.setdefault(echo.token_id, []).append(echo)
    return groups


def _kind(group: Sequence[Echo]) -> int:
    """What a guess rests on: on the grammar if that forces it, else on its longest echo."""
    if len(group) == 1:
        return group[0].length
    lengths = [echo.length for echo in group]
    return FORCED if FORCED in lengths else max(lengths)


def _weight(echo: Echo) -> int:
    """Of echoes that disagree: the longer is far more often right."""
    return _FORCED_WEIGHT if echo.length == FORCED else 1 << 2 * echo.length
