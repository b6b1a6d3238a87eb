"""The definition itself, against one softmax over keys that were rotated in place."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.support.views import angles_of
from weft.cache.kv_store import LayerKV
from weft.runtime.engine.segments import (
    Angles,
    Attended,
    Queries,
    Segment,
    attend_explicitly,
    merge,
)
from weft.runtime.engine.segments.explicit import rotate

ANGLES = Angles(*(each.double() for each in angles_of(40, 6)))


def rotated(x_LHD: torch.Tensor, first: int) -> torch.Tensor:
    places = range(first, first + len(x_LHD))
    turned = [
        rotate(x, ANGLES.cos_PD[p], ANGLES.sin_PD[p]) for x, p in zip(x_LHD, places, strict=True)
    ]
    return torch.stack(turned)


@pytest.mark.parametrize("window", [None, 4, 9])
def test_segments_at_their_offsets_are_one_sequence(window: int | None) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(size, 2, 6, generator=generator, dtype=torch.float64) for size in (1, 14, 14)
    )
    stored = torch.cat((rotated(k[:5], 0), rotated(k[5:8], 0), rotated(k[8:], 0)))
    cuts = [(0, 5), (5, 8), (8, 14)]
    view = [
        Segment(block_ids=tuple(range(start, stop)), num_keys=stop - start, offset=20 + start)
        for start, stop in cuts
    ]
    queries = Queries(q_THD=q, positions_T=np.array([32]), views=[[view[2], view[0], view[1]]])
    memory = LayerKV(keys_NHD=stored, values_NHD=v)
    got = attend_explicitly(queries, memory, 1, ANGLES, scale=0.7, window=window)

    seen = slice(0 if window is None else max(0, 13 - window), 13)
    turned = rotate(q[0], ANGLES.cos_PD[32], ANGLES.sin_PD[32])
    scores_LH = (turned * rotated(k, 20)[seen]).sum(-1) * 0.7
    out_HD = (scores_LH.softmax(0)[..., None] * v[seen]).sum(0)
    torch.testing.assert_close(got.out_THD[0], out_HD)
    torch.testing.assert_close(got.lse_TH[0], scores_LH.logsumexp(0))


def test_nothing_seen_is_zero_and_minus_infinity() -> None:
    nothing = merge([], (2, 6))
    assert not nothing.out_THD.any()
    assert nothing.lse_TH.tolist() == [-torch.inf] * 2
    one = Attended(torch.ones(2, 6, dtype=torch.float64), torch.tensor([1.0, 2.0]).double())
    both = merge([nothing, one, nothing], (2, 6))
    assert torch.equal(both.out_THD, one.out_THD)
    assert torch.equal(both.lse_TH, one.lse_TH)
    assert not merge([nothing, nothing], (2, 6)).out_THD.any()
