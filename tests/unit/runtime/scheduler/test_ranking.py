"""A sorted set against sorting."""

from __future__ import annotations

from random import Random

from weft.runtime.scheduler.ranking import Rank, Ranking


def test_order_is_that_of_sorted_ranks_whatever_was_put_and_taken() -> None:
    random = Random(3)
    ranking, expected = Ranking(), dict[str, Rank]()
    for number in range(400):
        name = f"n{random.randrange(30)}"
        if random.random() < 0.3:
            ranking.take(name)
            expected.pop(name, None)
        else:
            rank = Rank((float(random.randrange(5)),), number, name)
            ranking.put(rank)
            expected[name] = rank
        assert list(ranking) == sorted(expected.values())
        assert len(ranking) == len(expected)
