"""Draft trees: a node's logits are those of its path, run as a sequence of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from tests.unit.runtime.engine.model.cases import (
    CASES,
    NATIVE_CASES,
    Packer,
    config_of,
    random_model,
    random_sequences,
    reference_logits,
    runner_of,
)
from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.config import KVDTypeName
from weft.runtime.engine.model import ComputePath, ModelRunner

EXACT = [
    *(pytest.param(case, "native", "auto") for case in NATIVE_CASES),
    *(pytest.param(case, "native", "int8") for case in ("llama", "qwen2-sliding")),
    *(
        pytest.param(case, "fused", "auto", marks=pytest.mark.slow)
        for case in ("llama", "mistral-sliding", "gemma2")
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """The tokens from ``base`` on of a sequence are nodes; ``parents[j] < j``, -1 for a root."""

    base: int
    parents: list[int]

    def path(self, node: int) -> list[int]:
        parent = self.parents[node]
        return [*(self.path(parent) if parent >= 0 else []), node]

    def places(self, node: int) -> list[int]:
        """The tokens of the sequence that the node's own sequence consists of."""
        return [*range(self.base), *(self.base + each for each in self.path(node))]


def random_tree(rng: np.random.Generator, base: int, num_nodes: int) -> Tree:
    parents = [int(rng.integers(max(-1, j - 4), j)) for j in range(num_nodes)]
    return Tree(base=base, parents=parents)


def with_trees(batch: PackedBatch, trees: Mapping[int, Tree]) -> PackedBatch:
    """The batch, the whole of some of its sequences being nodes now."""
    ends = np.cumsum(batch.query_lens_S)
    positions = batch.positions_T.copy()
    bases = batch.positions_T.copy()
    masks = np.ones(len(positions), np.uint64)
    for sequence, tree in trees.items():
        first = int(ends[sequence] - batch.query_lens_S[sequence])
        for node in range(len(tree.parents)):
            path = tree.path(node)
            positions[first + node] = tree.base + len(path) - 1
            bases[first + node] = tree.base
            masks[first + node] = sum(1 << each for each in path)
    return replace(batch, positions_T=positions, tree_bases_T=bases, tree_masks_T=masks)


def alone(
    runner: ModelRunner, tokens: npt.NDArray[np.int64], rng: np.random.Generator
) -> torch.Tensor:
    """The last token's logits, decoded token by token."""
    packer = Packer(runner, [tokens], rng)
    return packer.run([{0: (place, place + 1)} for place in range(len(tokens))])[0][-1]


@pytest.mark.parametrize(("name", "path", "kv_dtype"), EXACT)
def test_a_nodes_bits_are_those_of_its_path(
    name: str, path: ComputePath, kv_dtype: KVDTypeName
) -> None:
    rng = np.random.default_rng(0)
    model = random_model(config_of(name), 0)
    runner = runner_of(model, path=path, deterministic=True, kv_dtype=kv_dtype)
    trees = {0: random_tree(rng, 21, 9), 2: random_tree(rng, 0, 5), 3: random_tree(rng, 14, 1)}
    sequences = random_sequences(rng, [30, 20, 5, 15])
    packer = Packer(runner, sequences, rng)
    packer.run([{0: (0, 21), 1: (0, 8), 3: (0, 14)}])
    pieces = {0: (21, 30), 1: (8, 20), 2: (0, 5), 3: (14, 15)}
    got = packer.runner.forward(with_trees(packer.pack(pieces), trees), packer.kv)
    firsts = {0: 0, 2: 21, 3: 26}
    for sequence, tree in trees.items():
        for node in range(0, len(tree.parents), 2):
            tokens = sequences[sequence][tree.places(node)]
            assert torch.equal(got[firsts[sequence] + node], alone(runner, tokens, rng))
    assert torch.equal(got[20], alone(runner, sequences[1], rng))


@pytest.mark.parametrize("path", ["fused", "plain"])
@pytest.mark.parametrize("name", CASES)
def test_every_family_computes_trees(name: str, path: ComputePath) -> None:
    rng = np.random.default_rng(1)
    model = random_model(config_of(name), 1)
    sequences = random_sequences(rng, [22, 9])
    packer = Packer(runner_of(model, path=path), sequences, rng)
    packer.run([{0: (0, 15), 1: (0, 8)}])
    tree = random_tree(rng, 15, 7)
    batch = with_trees(packer.pack({0: (15, 22), 1: (8, 9)}), {0: tree})
    got = packer.runner.forward(batch, packer.kv)
    wanted = [reference_logits(model, sequences[0][tree.places(node)])[-1] for node in range(7)]
    wanted.append(reference_logits(model, sequences[1])[-1])
    assert (got - torch.stack(wanted)).abs().max() < 1e-4


@pytest.mark.parametrize(("heads", "kv_heads"), [(1, 1), (6, 2), (8, 1), (4, 4)])
@pytest.mark.parametrize("window", [1, 3, 12, 40])
def test_windows_count_along_the_path(heads: int, kv_heads: int, window: int) -> None:
    rng = np.random.default_rng(heads * window)
    changes = {
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": 16,
        "sliding_window": window,
        "num_hidden_layers": 2,
    }
    runner = runner_of(random_model(config_of("mistral-sliding", **changes), 2), path="native")
    [tokens] = random_sequences(rng, [30])
    packer = Packer(runner, [tokens], rng)
    packer.run([{0: (0, 17)}])
    tree = random_tree(rng, 17, 13)
    got = runner.forward(with_trees(packer.pack({0: (17, 30)}), {0: tree}), packer.kv)
    for node in (3, 8, 12):
        assert torch.equal(got[node], alone(runner, tokens[tree.places(node)], rng))


@pytest.mark.parametrize(
    ("path", "kv_dtype"), [("native", "auto"), ("native", "int8"), ("fused", "auto")]
)
def test_an_accepted_path_goes_on_as_if_it_had_been_decoded(
    path: ComputePath, kv_dtype: KVDTypeName
) -> None:
    rng = np.random.default_rng(3)
    model = random_model(config_of("llama"), 3)
    runner = runner_of(model, path=path, deterministic=True, kv_dtype=kv_dtype)
    [tokens] = random_sequences(rng, [30])
    tree = Tree(base=13, parents=[-1, 0, 0, 2, 1, 3, 3, 6])
    packer = Packer(runner, [tokens], rng)
    packer.run([{0: (0, 13)}])
    runner.forward(with_trees(packer.pack({0: (13, 21)}), {0: tree}), packer.kv)
    accepted = tree.path(7)
    slots = torch.as_tensor(packer.pack({0: (13, 21)}).slots_T)
    packer.kv.move_slots(slots[accepted], slots[: len(accepted)])
    kept = np.concatenate([tokens[tree.places(7)], tokens[25:28]])
    packer.sequences[0] = kept
    got = packer.run([{0: (13 + len(accepted), len(kept))}])[0][-1]
    assert torch.equal(got, alone(runner, kept, rng))


def test_a_chain_is_no_tree() -> None:
    rng = np.random.default_rng(4)
    packer = Packer(
        runner_of(random_model(config_of("llama"), 4)), random_sequences(rng, [70]), rng
    )
    batch = packer.pack({0: (2, 70)})
    assert not batch.is_tree_S.any()
    chain = with_trees(replace(batch), {0: Tree(base=2, parents=list(range(-1, 63)))})
    assert chain.is_tree_S.tolist() == [False]
    assert chain.positions_T.tolist() == batch.positions_T.tolist()
    fork = with_trees(batch, {0: Tree(base=2, parents=[-1, 0, 0])})
    assert fork.is_tree_S.tolist() == [True]
