from __future__ import annotations

import pytest

from weft.errors import InvalidRequest
from weft.programs.sampling import Sampling
from weft.runtime.engine.sampling import SamplingRow, check
from weft.runtime.engine.sampling.counts import TokenCounts


def counted(counts: TokenCounts) -> dict[int, float]:
    return dict(zip(counts.token_ids.tolist(), counts.output_counts.tolist(), strict=True))


def test_counts_tell_prompt_from_output() -> None:
    counts = TokenCounts([4, 4, 9])
    for token_id in (9, 9, 7):
        counts.add(token_id)
    assert counted(counts) == {4: 0, 9: 2, 7: 1}


def test_counts_grow_past_their_first_room() -> None:
    counts = TokenCounts([])
    for token_id in range(500):
        counts.add(token_id % 250)
    assert counted(counts) == {token_id: 2 for token_id in range(250)}


def test_history_is_kept_only_for_penalties() -> None:
    assert SamplingRow(Sampling(), seed=0, prompt=[1]).counts is None
    assert SamplingRow(Sampling(repetition_penalty=1.1), seed=0, prompt=[1]).counts is not None


def test_a_fork_goes_its_own_way() -> None:
    row = SamplingRow(Sampling(presence_penalty=1.0), seed=1, prompt=[3], end_ids=[2])
    row.record(5)
    twin = row.fork(seed=9)
    twin.record(6)
    assert (row.num_drawn, twin.num_drawn, twin.seed, twin.end_ids) == (1, 2, 9, (2,))
    assert row.counts is not None and twin.counts is not None
    assert counted(row.counts) == {3: 0, 5: 1}
    assert counted(twin.counts) == {3: 0, 5: 1, 6: 1}


def test_a_row_ahead_is_the_row_once_the_token_is_there() -> None:
    row = SamplingRow(Sampling(presence_penalty=1.0), seed=1, prompt=[3], end_ids=[2])
    ahead = row.ahead(6).ahead(7)
    assert (row.num_drawn, ahead.num_drawn, ahead.seed, ahead.end_ids) == (0, 2, 1, (2,))
    row.record(6)
    row.record(7)
    assert row.counts is not None and ahead.counts is not None
    assert counted(ahead.counts) == counted(row.counts)


@pytest.mark.parametrize(
    ("sampling", "name"),
    [
        (Sampling(logit_bias={3: 1.0, 10: 1.0}), "logit_bias"),
        (Sampling(stop_token_ids=(10,)), "stop_token_ids"),
    ],
)
def test_unknown_token_ids_are_refused(sampling: Sampling, name: str) -> None:
    check(sampling, 11)
    with pytest.raises(InvalidRequest, match=f"{name} has the token id 10"):
        check(sampling, 10)
