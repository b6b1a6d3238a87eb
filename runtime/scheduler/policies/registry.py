"""Policies by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from inspect import signature

from weft.errors import InvalidRequest
from weft.runtime.scheduler.costs import Costs
from weft.runtime.scheduler.policies.cap import CapPolicy
from weft.runtime.scheduler.policies.deadline import DeadlinePolicy
from weft.runtime.scheduler.policies.fcfs import FcfsPolicy
from weft.runtime.scheduler.policies.least_attained import LeastAttainedPolicy
from weft.runtime.scheduler.policies.pause import PausePolicy
from weft.runtime.scheduler.policies.ttl import TtlPolicy
from weft.runtime.scheduler.policies.weft import WeftPolicy
from weft.runtime.scheduler.policy import SchedulingPolicy

__all__ = ["make_policy", "policy_names"]

POLICIES: Mapping[str, Callable[..., SchedulingPolicy]] = {
    policy.name: policy
    for policy in (
        CapPolicy,
        DeadlinePolicy,
        FcfsPolicy,
        LeastAttainedPolicy,
        PausePolicy,
        TtlPolicy,
        WeftPolicy,
    )
}


def policy_names() -> tuple[str, ...]:
    return tuple(sorted(POLICIES))


def make_policy(
    name: str = "weft", costs: Costs | None = None, **options: float
) -> SchedulingPolicy:
    """A new policy; ``options`` are those of its class.

    Raises InvalidRequest for an unknown name or option.
    """
    if name not in POLICIES:
        nearest = difflib.get_close_matches(name, POLICIES, n=1)
        remedy = f"Did you mean {nearest[0]!r}?" if nearest else "Choose one of those below."
        raise InvalidRequest(
            f"There is no scheduling policy {name!r}.",
            remedy=f"{remedy} There are {', '.join(policy_names())}.",
        )
    known = [option for option in signature(POLICIES[name]).parameters if option != "costs"]
    for option in options:
        if option not in known:
            raise InvalidRequest(
                f"The scheduling policy {name!r} has no option {option!r}.",
                remedy=f"It has {', '.join(known) or 'none'}.",
            )
    return POLICIES[name](costs, **options)
