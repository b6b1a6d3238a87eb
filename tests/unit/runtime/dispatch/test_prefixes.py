from __future__ import annotations

import random

from weft.runtime.dispatch.prefixes import FEWEST_TOKENS, MAX_BEGINNINGS, Prefixes, num_shared


def tokens(seed: int, length: int) -> tuple[int, ...]:
    return tuple(random.Random(seed).choices(range(1000), k=length))


def test_shared_tokens_are_counted_like_one_by_one() -> None:
    rng = random.Random(0)
    for _ in range(200):
        one = tuple(rng.choices(range(2), k=rng.randrange(700)))
        cut = rng.randrange(len(one) + 1)
        other = (*one[:cut], *rng.choices(range(2), k=rng.randrange(700)))
        slow = next(
            (at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
            None,
        )
        assert num_shared(one, other) == (min(len(one), len(other)) if slow is None else slow)


def test_a_program_may_have_several_beginnings() -> None:
    prefixes = Prefixes()
    heads = [tokens(seed, 100) for seed in range(3)]
    for head in heads:
        assert prefixes.share("t", "p", head + tokens(10, 30)).num_tokens == 0
    found = [prefixes.share("t", "p", head + tokens(11, 40)) for head in heads for _ in range(2)]
    assert [one.num_tokens for one in found] == [100, 140] * 3 or [
        one.num_tokens for one in found[::2]
    ] == [100] * 3
    assert len({one.name for one in found[::2]}) == 3


def test_what_all_have_in_common_is_shared() -> None:
    prefixes = Prefixes()
    head = tokens(1, 100)
    names = {prefixes.share("t", "p", head + tokens(seed, 20)) for seed in range(2, 8)}
    assert {one.num_tokens for one in names} == {0, 100}
    assert prefixes.share("other", "p", head).num_tokens == 0
    assert prefixes.share("t", "q", head).num_tokens == 0


def test_little_in_common_is_nothing_and_memory_is_bounded() -> None:
    prefixes = Prefixes()
    short = tokens(1, FEWEST_TOKENS - 1)
    for seed in range(2, 6):
        assert prefixes.share("t", "p", short + tokens(seed, 50)).num_tokens == 0
    first = tokens(100, 60)
    prefixes.share("t", "p", first)
    for seed in range(200, 200 + MAX_BEGINNINGS):
        prefixes.share("t", "p", tokens(seed, 60))
    assert prefixes.share("t", "p", first).num_tokens == 0
