"""The sampler against a slow one that does each row by itself, token by token, in float64."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.programs.sampling import Sampling
from weft.runtime.engine.sampling import Sampled, Sampler, SamplingRow, uniforms
from weft.runtime.engine.sampling.device import DeviceLogits
from weft.runtime.engine.sampling.host import HostLogits
from weft.runtime.engine.sampling.scratch import Scratch

Floats = npt.NDArray[np.float64]


class SlowDraw(NamedTuple):
    token_id: int
    logprob: float
    behaviour: float


class History(NamedTuple):
    prompt: list[int]
    output: list[int]


def edited(raw: Floats, sampling: Sampling, history: History, end_ids: list[int]) -> Floats:
    logits = raw.copy()
    for token_id, bias in sampling.logit_bias.items():
        logits[token_id] += bias
    if len(history.output) < sampling.min_tokens:
        logits[end_ids] = -math.inf
    for token_id in set(history.prompt) | set(history.output):
        value = logits[token_id]
        penalty = sampling.repetition_penalty
        logits[token_id] = value / penalty if value > 0 else value * penalty
    for token_id in set(history.output):
        logits[token_id] -= sampling.frequency_penalty * history.output.count(token_id)
        logits[token_id] -= sampling.presence_penalty
    return logits


def filtered(probabilities: Floats, sampling: Sampling) -> Floats:
    kept = probabilities.copy()
    if sampling.top_k > 0:
        floor = sorted(kept, reverse=True)[min(sampling.top_k, len(kept)) - 1]
        kept[kept < floor] = 0
    if sampling.top_p < 1:
        kept = nucleus(kept / kept.sum(), sampling.top_p)
    kept[probabilities < sampling.min_p * probabilities.max()] = 0
    shares: Floats = kept / kept.sum()
    return shares


def nucleus(probabilities: Floats, top_p: float) -> Floats:
    kept = np.zeros_like(probabilities)
    for token_id, probability in enumerate(probabilities):
        if probabilities[probabilities > probability].sum() < top_p:
            kept[token_id] = probability
    return kept


def slow_draw(
    raw: Floats,
    sampling: Sampling,
    seed: int,
    history: History,
    end_ids: list[int],
    allowed: npt.NDArray[np.bool_],
) -> SlowDraw:
    logits = edited(raw, sampling, history, end_ids)
    logits[~allowed] = -math.inf
    log_normaliser = np.log(np.exp(raw - raw.max()).sum()) + raw.max()
    if sampling.temperature == 0:
        token_id = int(logits.argmax())
        return SlowDraw(token_id, raw[token_id] - log_normaliser, 0.0)
    weights = np.exp((logits - logits.max()) / sampling.temperature)
    probabilities = filtered(weights / weights.sum(), sampling)
    position = np.array([len(history.output)], np.uint64)
    uniform = uniforms(np.array([seed], np.uint64), position)[0]
    token_id = int((probabilities.cumsum() <= uniform).sum())
    return SlowDraw(token_id, raw[token_id] - log_normaliser, math.log(probabilities[token_id]))


class Case(NamedTuple):
    """One row: what the fast and the slow sampler are both given."""

    logits: npt.NDArray[np.float32]
    sampling: Sampling
    seed: int
    history: History
    allowed: npt.NDArray[np.bool_]

    @property
    def end_ids(self) -> list[int]:
        return [0, 2]

    def row(self) -> SamplingRow:
        row = SamplingRow(
            self.sampling, seed=self.seed, prompt=self.history.prompt, end_ids=self.end_ids
        )
        for token_id in self.history.output:
            row.record(token_id)
        return row

    def slow(self) -> SlowDraw:
        raw = self.logits.astype(np.float64)
        args = (self.sampling, self.seed, self.history, self.end_ids, self.allowed)
        return slow_draw(raw, *args)


samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 1.7]),
    top_k=st.sampled_from([-1, 0, 1, 3, 40, 10_000]),
    top_p=st.sampled_from([0.05, 0.5, 0.93, 1.0]),
    min_p=st.sampled_from([0.0, 0.0, 0.02, 1.0]),
    repetition_penalty=st.sampled_from([1.0, 1.0, 0.7, 1.5]),
    presence_penalty=st.sampled_from([0.0, 0.0, -1.0, 0.8]),
    frequency_penalty=st.sampled_from([0.0, 0.0, -0.3, 0.9]),
    logit_bias=st.dictionaries(st.integers(0, 39), st.sampled_from([-50.0, 2.0, 9.0]), max_size=3),
    min_tokens=st.sampled_from([0, 0, 2, 9]),
    logprobs=st.sampled_from([None, 0, 2, 5]),
)
tokens = st.lists(st.integers(0, 39), max_size=8)


@st.composite
def batches(draw: st.DrawFn) -> list[Case]:
    vocab_size = draw(st.sampled_from([40, 64, 130, 600]))
    num_rows = draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return [
        Case(
            logits=(rng.normal(size=vocab_size) * draw(st.sampled_from([0.1, 3]))).astype(
                np.float32
            ),
            sampling=draw(samplings),
            seed=draw(st.integers(0, 2**63 - 1)),
            history=History(draw(tokens), draw(tokens)),
            allowed=draw(st.sampled_from([np.ones(vocab_size, bool), some(rng, vocab_size)])),
        )
        for _ in range(num_rows)
    ]


def some(rng: np.random.Generator, vocab_size: int) -> npt.NDArray[np.bool_]:
    allowed = rng.random(vocab_size) < 0.5
    allowed[5] = True
    return allowed


def packed(allowed: list[npt.NDArray[np.bool_]]) -> torch.Tensor:
    stacked = np.stack(allowed)
    padding = -stacked.shape[1] % 32
    bits = np.packbits(np.pad(stacked, ((0, 0), (0, padding))), axis=1, bitorder="little")
    return torch.as_tensor(bits.view(np.int32))


def fast(cases: list[Case]) -> Sampled:
    logits = torch.as_tensor(np.stack([case.logits for case in cases]))
    rows = [case.row() for case in cases]
    bitmask = packed([case.allowed for case in cases])
    return Sampler(logits.shape[1]).sample(logits, rows, bitmask)


@pytest.mark.slow
@given(batches())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_fast_draws_what_slow_draws(cases: list[Case]) -> None:
    sampled = fast(cases)
    assert not sampled.faults
    for r, case in enumerate(cases):
        slow = case.slow()
        assert sampled.token_ids[r] == slow.token_id
        assert (r in sampled.logprobs) == (case.sampling.logprobs is not None)
        if r in sampled.logprobs:
            logprob = sampled.logprobs[r]
            assert logprob.logprob == pytest.approx(slow.logprob, abs=1e-4)
            assert logprob.behaviour == pytest.approx(slow.behaviour, abs=1e-4)
            assert list(logprob.top) == likeliest(case)


def likeliest(case: Case) -> list[int]:
    order = sorted(range(len(case.logits)), key=lambda t: (-case.logits[t], t))
    return order[: case.sampling.logprobs or 0]


@pytest.mark.slow
@given(batches())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_a_row_alone_draws_the_same_bits(cases: list[Case]) -> None:
    together = fast(cases)
    for r, case in enumerate(cases):
        alone = fast([case])
        assert alone.token_ids == [together.token_ids[r]]
        assert alone.logprobs.get(0) == together.logprobs.get(r)


@pytest.mark.slow
@given(st.integers(0, 2**32), st.sampled_from([40, 64, 130]), st.integers(1, 5))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_device_operations_equal_host_operations(seed: int, vocab_size: int, num: int) -> None:
    rng = np.random.default_rng(seed)
    logits = torch.as_tensor(rng.normal(size=(num, vocab_size)).astype(np.float32))
    host, device = HostLogits(logits.clone(), Scratch()), DeviceLogits(logits.clone())
    bitmask = packed([some(rng, vocab_size) for _ in range(num)])
    rows = np.arange(num)
    for one in (host, device):
        one.mask(bitmask)
        one.put(rows, rows, np.full(num, 0.5, np.float32))
    np.testing.assert_array_equal(host.best().ids_R, device.best().ids_R)
    np.testing.assert_array_equal(host.best().values_R, device.best().values_R)
    np.testing.assert_array_equal(host.gather(rows, rows), device.gather(rows, rows))
    np.testing.assert_allclose(host.log_normalisers(), device.log_normalisers(), rtol=1e-6)
    first, second = host.select(rows[:1]).top(4), device.select(rows[:1]).top(4)
    np.testing.assert_array_equal(first.values_RK, second.values_RK)
    np.testing.assert_array_equal(first.ids_RK, second.ids_RK)
    scale = np.full(num, 0.7, np.float32)
    host.exponentiate(host.best().values_R, scale)
    device.exponentiate(device.best().values_R, scale)
    floors = np.full(num, 0.1, np.float32)
    for one in (host, device):
        one.drop_below(rows, floors)
    np.testing.assert_allclose(host.largest(rows, 3), device.largest(rows, 3), rtol=1e-6)
    sums = device.chunk_sums()
    np.testing.assert_allclose(host.chunk_sums()[:, : sums.shape[1]], sums, rtol=1e-6)
    last = np.full(num, sums.shape[1] - 1)
    np.testing.assert_allclose(host.chunk(last), device.chunk(last), rtol=1e-6)
