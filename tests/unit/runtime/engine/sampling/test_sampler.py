from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from weft.errors import GrammarDeadEnd, LogitsInvalid
from weft.programs.sampling import Sampling
from weft.runtime.engine.sampling import Sampler, SamplingRow
from weft.runtime.engine.sampling.host import HostLogits
from weft.runtime.engine.sampling.scratch import Scratch

GREEDY = Sampling(temperature=0.0)


def logits_of(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32)


def random_logits(num_rows: int, vocab_size: int = 50) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(num_rows, vocab_size, generator=generator) * 2


def drawn(sampling: Sampling, logits: torch.Tensor, num_draws: int) -> Counter[int]:
    """Tokens drawn from one row of logits under as many seeds."""
    rows = [SamplingRow(sampling, seed=seed) for seed in range(num_draws)]
    sampler = Sampler(logits.shape[1])
    return Counter(sampler.sample(logits.repeat(num_draws, 1), rows).token_ids)


def test_greedy_takes_the_smallest_id_of_the_likeliest() -> None:
    rows = [SamplingRow(GREEDY, seed=0)] * 2
    sampled = Sampler(3).sample(logits_of([1, 5, 5], [7, 2, 1]), rows)
    assert sampled.token_ids == [1, 0]


def test_no_rows_give_nothing() -> None:
    assert Sampler(3).sample(torch.empty(0, 3), []).token_ids == []


@pytest.mark.parametrize(
    ("sampling", "temperature"),
    [(Sampling(), 1.0), (Sampling(temperature=0.5), 0.5), (Sampling(temperature=2.0), 2.0)],
)
def test_draws_follow_the_distribution(sampling: Sampling, temperature: float) -> None:
    """Chi-square of 4,000 draws over 5 tokens; 18.5 is the 0.1% point for 4 degrees of freedom."""
    logits = logits_of([0.0, 1.0, -1.0, 0.5, 2.0])
    expected = torch.softmax(logits[0].double() / temperature, 0).numpy() * 4000
    counts = drawn(sampling, logits, 4000)
    observed = np.array([counts[token_id] for token_id in range(5)])
    assert ((observed - expected) ** 2 / expected).sum() < 18.5


def test_filtered_draws_follow_what_is_left() -> None:
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    counts = drawn(Sampling(top_p=0.65), logits, 3000)
    assert set(counts) == {0, 1}
    assert counts[0] / 3000 == pytest.approx(4 / 7, abs=0.03)


def test_positions_of_one_seed_follow_the_distribution() -> None:
    row = SamplingRow(Sampling(), seed=11)
    sampler = Sampler(2)
    ones = 0
    for _ in range(600):
        [token_id] = sampler.sample(torch.tensor([[0.25, 0.75]]).log(), [row]).token_ids
        row.record(token_id)
        ones += token_id
    assert ones / 600 == pytest.approx(0.75, abs=0.06)


def test_ties_with_the_last_kept_token_are_kept() -> None:
    counts = drawn(Sampling(top_k=2), logits_of([1.0, 3.0, 1.0, 0.0]), 400)
    assert set(counts) == {0, 1, 2}


def test_top_p_sees_beyond_its_first_look() -> None:
    """A flat row of 600: half its mass lies past the 256 largest."""
    logits = torch.linspace(0, 0.01, 600)[None]
    counts = drawn(Sampling(top_p=0.7), logits, 3000)
    kept = (torch.softmax(logits[0], 0).flip(0).cumsum(0) < 0.7).sum().item() + 1
    assert min(counts) >= 600 - kept
    assert len(counts) > 0.95 * kept


def test_a_mask_that_allows_everything_changes_nothing() -> None:
    logits = random_logits(8)
    rows = [SamplingRow(Sampling(top_p=0.9), seed=seed) for seed in range(8)]
    everything = torch.full((8, 2), -1, dtype=torch.int32)
    sampler = Sampler(50)
    plain = sampler.sample(logits.clone(), rows)
    assert sampler.sample(logits.clone(), rows, everything) == plain


def test_bad_rows_fail_alone() -> None:
    """NaN, +inf and all -inf rows are reported; neighbours draw what they draw without them."""
    logits = random_logits(5)
    wants = Sampling(logprobs=2, top_p=0.8)
    rows = [SamplingRow(wants, seed=seed) for seed in range(5)]
    sampler = Sampler(50)
    good = sampler.sample(logits.clone(), rows)
    logits[1, 7] = math.nan
    logits[2, :] = -math.inf
    logits[3, 9] = math.inf
    sampled = sampler.sample(logits, rows)
    assert {row: type(fault) for row, fault in sampled.faults.items()} == {
        row: LogitsInvalid for row in (1, 2, 3)
    }
    assert sampled.token_ids == [good.token_ids[0], -1, -1, -1, good.token_ids[4]]
    assert dict(sampled.logprobs) == {row: good.logprobs[row] for row in (0, 4)}


def test_nan_behind_a_mask_is_still_reported() -> None:
    bitmask = torch.tensor([[0b011]], dtype=torch.int32)
    sampled = Sampler(3).sample(logits_of([1, 2, math.nan]), [SamplingRow(GREEDY, seed=0)], bitmask)
    assert isinstance(sampled.faults[0], LogitsInvalid)


def test_a_mask_that_allows_nothing_is_a_dead_end() -> None:
    bitmask = torch.tensor([[0], [0b100]], dtype=torch.int32)
    rows = [SamplingRow(Sampling(), seed=0), SamplingRow(Sampling(), seed=0)]
    sampled = Sampler(3).sample(logits_of([1, 2, 3], [1, 2, 3]), rows, bitmask)
    assert sampled.token_ids == [-1, 2]
    assert isinstance(sampled.faults[0], GrammarDeadEnd)


def test_ends_wait_for_min_tokens() -> None:
    row = SamplingRow(Sampling(temperature=0.0, min_tokens=1), seed=0, end_ids=[2])
    sampler = Sampler(3)
    assert sampler.sample(logits_of([0, 1, 9]), [row]).token_ids == [1]
    row.record(1)
    assert sampler.sample(logits_of([0, 1, 9]), [row]).token_ids == [2]


def test_a_complete_grammar_ends_before_min_tokens() -> None:
    row = SamplingRow(Sampling(min_tokens=5), seed=0, end_ids=[2])
    only_the_end = torch.tensor([[0b100]], dtype=torch.int32)
    assert Sampler(3).sample(logits_of([0, 1, 9]), [row], only_the_end).token_ids == [2]


def test_huge_biases_neither_overflow_nor_leak() -> None:
    sure = SamplingRow(Sampling(logit_bias={1: 1e300}), seed=0)
    free = SamplingRow(GREEDY, seed=0)
    sampled = Sampler(3).sample(logits_of([0, 0, 0], [0, 0, 5]), [sure, free])
    assert sampled.token_ids == [1, 2]
    assert not sampled.faults


def test_penalties_count_only_their_own_history() -> None:
    penalised = SamplingRow(Sampling(temperature=0.0, presence_penalty=2.0), seed=0, prompt=[0])
    plain = SamplingRow(GREEDY, seed=0)
    penalised.record(2)
    plain.record(2)
    sampled = Sampler(3).sample(logits_of([1, 0, 2.5], [1, 0, 2.5]), [penalised, plain])
    assert sampled.token_ids == [0, 2]


def test_behaviour_is_the_share_among_what_was_left() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log()
    row = SamplingRow(Sampling(top_k=2, logprobs=1), seed=1)
    sampled = Sampler(3).sample(logits, [row])
    logprob = sampled.logprobs[0]
    share = (0.5, 0.3)[sampled.token_ids[0]]
    assert logprob.logprob == pytest.approx(math.log(share), abs=1e-6)
    assert logprob.behaviour == pytest.approx(math.log(share / 0.8), abs=1e-6)
    assert logprob.top == pytest.approx({0: math.log(0.5)}, abs=1e-6)


def test_the_batch_may_change_between_ticks() -> None:
    greedy, biased = SamplingRow(GREEDY, seed=0), SamplingRow(Sampling(logit_bias={0: 99}), seed=0)
    sampler = Sampler(3)
    for rows, expected in ([greedy, biased], [2, 0]), ([biased, greedy], [0, 2]), ([greedy], [2]):
        assert sampler.sample(logits_of([0, 1, 2]).repeat(len(rows), 1), rows).token_ids == expected


@pytest.mark.parametrize("vocab_size", [31, 32, 33, 40, 64])
def test_masking_stays_inside_the_row(vocab_size: int) -> None:
    """The kernel of xgrammar 0.2.8 writes past the row when a bit beyond the vocabulary is 0."""
    memory = torch.full((vocab_size + 64,), 7.0)
    logits = memory[32:-32].view(1, vocab_size)
    num_words = (vocab_size + 31) // 32
    bits = np.zeros(num_words * 32, bool)
    bits[:vocab_size] = True
    bits[0] = False
    words = torch.as_tensor(np.packbits(bits, bitorder="little").view(np.int32))[None]
    HostLogits(logits, Scratch()).mask(words)
    expected = torch.tensor([7.0] * 32 + [-math.inf] + [7.0] * (vocab_size + 31))
    assert torch.equal(memory, expected)


def test_rows_that_only_want_the_likeliest_get_it_by_the_short_way() -> None:
    """Asking for a log-probability takes the long way to the same tokens."""
    logits = random_logits(6)
    logits[3, 7] = math.nan
    bitmask = torch.full((6, 2), -1, dtype=torch.int32)
    bitmask[1] = torch.tensor([1 << 5, 0])
    bitmask[4] = 0
    short = [SamplingRow(GREEDY, seed=seed) for seed in range(6)]
    long = [SamplingRow(replace(GREEDY, logprobs=0), seed=seed) for seed in range(6)]
    assert all(row.is_likeliest for row in short) and not any(row.is_likeliest for row in long)
    for mask in (None, bitmask):
        found = Sampler(50).sample(logits.clone(), short, mask)
        wanted = Sampler(50).sample(logits.clone(), long, mask)
        assert found.token_ids == wanted.token_ids
        assert {row: type(fault) for row, fault in found.faults.items()} == {
            row: type(fault) for row, fault in wanted.faults.items()
        }
        assert found.faults.keys() == ({3} if mask is None else {3, 4})
