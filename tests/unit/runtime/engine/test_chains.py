"""Which tables hold a past, and where in them everything is seen."""

from __future__ import annotations

from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from weft.programs.past import Past, Placing, Segment
from weft.runtime.engine.chains import Chain, chains_of


@st.composite
def pasts(draw: st.DrawFn) -> Past:
    """Every token its own, so that a token says where it comes from."""
    segments: list[Segment] = []
    token = 0
    placings: st.SearchStrategy[Placing] = st.sampled_from(get_args(Placing))
    for number in range(draw(st.integers(1, 8))):
        length = draw(st.integers(1, 4))
        segments.append(
            Segment(
                tokens=tuple(range(token, token + length)),
                parents=draw(parents_below(number)),
                placing=draw(placings),
            )
        )
        token += length
    parents = draw(parents_below(len(segments), at_least=1))
    return Past(segments=tuple(segments), parents=parents, placing=draw(placings))


def parents_below(end: int, at_least: int = 0) -> st.SearchStrategy[tuple[int, ...]]:
    if end == 0:
        return st.just(())
    numbers = st.integers(0, end - 1)
    return st.lists(numbers, min_size=at_least, max_size=min(3, end), unique=True).map(tuple)


def seen_by(chain: Chain, chains: list[Chain], position: int) -> dict[int, int]:
    """Every token that a query at ``position`` sees outside of its table, and how far away."""
    seen: dict[int, int] = {}
    for piece in chain.pieces:
        holder = chains[piece.chain]
        for place in range(piece.first, piece.end):
            assert holder.tokens[place] not in seen, "seen twice"
            seen[holder.tokens[place]] = position + piece.shift - (holder.origin + place)
    return seen


@settings(max_examples=150, deadline=None)
@given(pasts())
def test_chains_hold_and_show_what_the_past_says(past: Past) -> None:
    prompt = (1000, 1001)
    chains = chains_of(past, prompt)
    for at, chain in enumerate(chains):
        assert all(piece.chain < at for piece in chain.pieces), "sees what is computed later"
    own = chains[-1]
    assert own.tokens[-2:] == prompt
    frame = past.frames[-1]
    start = frame.end - (len(own.tokens) - len(prompt))
    assert own.origin == start
    seen = seen_by(own, chains, frame.end)
    seen |= {token: frame.end - start - place for place, token in enumerate(own.tokens[:-2])}
    wanted = {
        token: frame.end - at - place
        for number, at in frame.starts.items()
        for place, token in enumerate(past.segments[number].tokens)
    }
    assert seen == wanted


@settings(max_examples=100, deadline=None)
@given(pasts())
def test_equal_contexts_have_equal_digests_and_others_do_not(past: Past) -> None:
    own = chains_of(past, (1000,))[-1]
    unused = Segment(tokens=(2000,))
    grown = Past(segments=(*past.segments, unused), parents=past.parents, placing=past.placing)
    assert chains_of(grown, (1000,))[-1].digest == own.digest
    changed = [
        Past(
            segments=tuple(
                Segment(tokens=(3000, *one.tokens[1:]), parents=one.parents, placing=one.placing)
                if number == at
                else one
                for number, one in enumerate(past.segments)
            ),
            parents=past.parents,
            placing=past.placing,
        )
        for at in past.ancestors[-1]
    ]
    for other in changed:
        theirs = chains_of(other, (1000,))[-1]
        assert (theirs.digest, theirs.tokens) != (own.digest, own.tokens)


def test_a_line_of_segments_is_one_sequence() -> None:
    placing: Placing = "shared"
    past = Past(
        segments=(Segment(tokens=(1, 2)), Segment(tokens=(3,), parents=(0,), placing=placing)),
        parents=(1,),
    )
    assert chains_of(past, (4,)) == [Chain((1, 2, 3, 4), 0, (), "")]
