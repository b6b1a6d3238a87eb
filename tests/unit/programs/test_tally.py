"""Votes against counting all of them."""

from __future__ import annotations

import random

import pytest

from weft.errors import InvalidRequest
from weft.programs.tally import Tally


def test_early_certainty_never_differs_from_the_full_count() -> None:
    rng = random.Random(7)
    for _ in range(500):
        votes = [rng.choice("abc") for _ in range(rng.randrange(1, 9))]
        full: Tally[str] = Tally(len(votes))
        for index, vote in enumerate(votes):
            full.add(index, vote)
        early: Tally[str] = Tally(len(votes))
        order = rng.sample(range(len(votes)), len(votes))
        for index in order:
            early.add(index, votes[index])
            if early.is_certain:
                break
        assert early.winner() == full.winner()


def test_a_lead_over_the_open_votes_is_certain() -> None:
    tally: Tally[str] = Tally(5)
    for index in range(2):
        tally.add(index, "a")
        assert not tally.is_certain
    tally.add(2, "a")
    assert tally.is_certain


def test_among_equals_the_lowest_first_voter_wins() -> None:
    tally: Tally[str] = Tally(4)
    for index, vote in ((3, "b"), (2, "a"), (1, "b"), (0, "a")):
        tally.add(index, vote)
    assert tally.winner() == "a"


def test_failed_voters_shorten_the_way() -> None:
    tally: Tally[str] = Tally(3)
    tally.skip()
    tally.add(1, "a")
    assert not tally.is_certain
    tally.skip()
    assert tally.is_certain


def test_a_vote_that_cannot_be_counted_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="key"):
        Tally[list[int]](1).add(0, [1])
