from __future__ import annotations

from weft.cache import Namespace
from weft.runtime.engine.speculation.past import MAX_NAMESPACES, MAX_TOKENS, Past, Pasts


def test_an_output_is_found_from_the_end_of_a_prompt() -> None:
    past = Past()
    past.remember([1, 2, 3, 4, 5, 6, 70, 71], num_prompt=6)
    [echo] = past.index.find([9, 9, 5, 6])
    assert (echo.token_id, echo.length) == (70, 2)
    assert past.index.find([1, 2]) == []


def test_runs_do_not_touch() -> None:
    past = Past()
    past.remember([1, 2, 3], num_prompt=1)
    past.remember([4, 5, 6], num_prompt=1)
    assert [echo.token_id for echo in past.index.find([2, 3])] == [-1]


def test_the_oldest_are_forgotten() -> None:
    past = Past()
    last = 3 * MAX_TOKENS // 100
    for number in range(last + 1):
        past.remember([number] * 100, num_prompt=1)
        assert len(past.index.tokens) <= MAX_TOKENS + 1
    assert past.index.find([0, 0]) == []
    assert past.index.find([last, last]) != []
    past.remember(list(range(10 * MAX_TOKENS)), num_prompt=1)
    assert len(past.index.tokens) <= MAX_TOKENS + 1


def test_namespaces_see_their_own_only() -> None:
    pasts = Pasts()
    ours, theirs = Namespace(tenant="ours"), Namespace(tenant="theirs")
    pasts.of(ours).remember([1, 2, 3, 4], num_prompt=1)
    assert pasts.of(theirs).index.find([2, 3]) == []
    assert pasts.of(ours).index.find([2, 3]) != []


def test_namespaces_that_nobody_uses_are_forgotten() -> None:
    pasts = Pasts()
    first = pasts.of(Namespace(tenant="first"))
    kept = pasts.of(Namespace(tenant="kept"))
    for number in range(MAX_NAMESPACES - 1):
        pasts.of(Namespace(tenant="kept"))
        pasts.of(Namespace(tenant=str(number)))
    assert pasts.of(Namespace(tenant="kept")) is kept
    assert pasts.of(Namespace(tenant="first")) is not first
