"""Whether a grammar has any finite output at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple, cast

import xgrammar

__all__ = ["has_finite_output"]

_RULE_REF, _SEQUENCE, _CHOICES, _REPEAT = 4, 5, 6, 8
"""Expression types of serialisation v16. All others are terminals or may stay empty."""


class _Rules(NamedTuple):
    bodies: Sequence[int]
    """By rule: the expression it stands for."""
    root: int
    data: Sequence[int]
    """Expressions one after another: type, number of operands, operands."""
    starts: Sequence[int]


def has_finite_output(grammar: xgrammar.Grammar) -> bool:
    """False when every derivation of the root goes on for ever, as in ``root ::= "a" root``.

    The least fixpoint over rules: a rule can end when some alternative uses only rules that can.
    """
    rules = _read(grammar)
    can_end: set[int] = set()
    while True:
        found = {
            rule
            for rule, body in enumerate(rules.bodies)
            if rule not in can_end and _ends(rules, body, can_end)
        }
        if not found:
            return rules.root in can_end
        can_end |= found


def _ends(rules: _Rules, expression: int, can_end: set[int]) -> bool:
    start = rules.starts[expression]
    kind, size = rules.data[start : start + 2]
    operands = rules.data[start + 2 : start + 2 + size]
    if kind == _RULE_REF:
        return operands[0] in can_end
    if kind == _SEQUENCE:
        return all(_ends(rules, operand, can_end) for operand in operands)
    if kind == _CHOICES:
        return any(_ends(rules, operand, can_end) for operand in operands)
    if kind == _REPEAT:
        return operands[1] == 0 or operands[0] in can_end
    return True


def _read(grammar: xgrammar.Grammar) -> _Rules:
    state = cast(dict[str, list[int]], json.loads(grammar.serialize_json()))
    rules = cast(list[list[int]], state["rules"])
    return _Rules(
        bodies=[rule[1] for rule in rules],
        root=cast(int, state["root_rule_id"]),
        data=state["grammar_expr_data"],
        starts=state["grammar_expr_indptr"],
    )
