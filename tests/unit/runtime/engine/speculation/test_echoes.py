from __future__ import annotations

import random

import pytest

from weft.runtime.engine.speculation.echoes import MAX_ECHO, SEPARATOR, Echo, EchoIndex, EchoScan

both = pytest.mark.parametrize("kind", [EchoIndex, EchoScan])


def agreement(tokens: list[int], place: int, ending: list[int]) -> int:
    """The slow way: the longest run before ``place`` that ends ``ending``."""
    lengths = range(1, min(MAX_ECHO, place, len(ending)) + 1)
    return max((n for n in lengths if tokens[place - n : place] == ending[-n:]), default=0)


@both
def test_places_and_lengths_are_those_of_a_search(kind: type[EchoIndex | EchoScan]) -> None:
    rng = random.Random(0)
    tokens: list[int] = rng.choices(range(4), k=2)
    index = kind(tokens)
    for _ in range(300):
        tokens += rng.choices(range(4), k=rng.randint(1, 3))
        found = index.find(tokens)
        lengths = {place: agreement(tokens, place, tokens) for place in range(2, len(tokens))}
        wanted = [place for place, length in lengths.items() if length >= 2][:-3:-1]
        if not wanted:
            wanted = [place for place, length in lengths.items() if length == 1][:-3:-1]
        assert [(echo.position, echo.length) for echo in found] == [
            (place, lengths[place]) for place in wanted
        ]


@both
def test_what_another_list_ends_with_is_found_too(kind: type[EchoIndex | EchoScan]) -> None:
    index = kind([5, 6, 7, 8, SEPARATOR, 6, 7, 9])
    found = index.find([1, 5, 6, 7])
    assert [(echo.token_id, echo.length) for echo in found] == [(9, 2), (8, 3)]
    assert index.find([7, 1]) == []
    assert [kind(list(range(num))).find([0, 1]) for num in range(3)] == [[], [], []]


def test_an_echo_goes_on_to_the_end_of_its_run() -> None:
    echo = Echo([5, 6, SEPARATOR, 8], 0, MAX_ECHO - 1)
    assert (echo.token_id, echo.length) == (5, MAX_ECHO - 1)
    assert (echo.further().token_id, echo.further().length) == (6, MAX_ECHO)
    assert echo.further().further().token_id == SEPARATOR
    assert echo.further().further().length == MAX_ECHO
    assert Echo([5], 1, 3).token_id == SEPARATOR
    assert Echo([5, 6], 0, 0).further().length == 0
