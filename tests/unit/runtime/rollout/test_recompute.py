"""Branched programs, exported, and what their tokens' log-probabilities are by every way."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.support.dense import dense_forward
from tests.support.engines import opened
from tests.support.tiny import build_checkpoint
from weft.errors import InvalidRequest
from weft.programs import Context, Step, context, export_tree, gen, join, program
from weft.programs.context import Joining
from weft.programs.token_tree import TokenNode, TokenTree
from weft.runtime.engine import EngineConfig
from weft.runtime.executor import Run
from weft.runtime.journal import MemoryStore, tree_of
from weft.runtime.rollout import dense, distances, recompute, visibility
from weft.runtime.testing import ScriptedEngine

CONFIG = EngineConfig(kv_bytes=1 << 21, max_running=16, max_batch_tokens=64)
HOWS: Sequence[Joining] = ("text", "shared", "rotated")

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_checkpoint(tmp_path_factory.mktemp("rollout"), head_dim=16)


@pytest.fixture(scope="module")
def model(folder: Path) -> PreTrainedModel:
    loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder)
    return loaded


def branched(how: Joining) -> list[Step[Any]]:
    """A fork, a join, a fork behind it, a join with a branch that was left out; and two samples."""

    def wrote(where: Context, *ends: str) -> Context:
        steps.append(gen(where, max_tokens=6, ignore_eos=True, logprobs=0))
        return where.write(steps[-1], *ends)

    steps: list[Step[Any]] = []
    start = wrote(context("Say words.", is_raw=True))
    one, two, three = (wrote(branch, ".") for branch in start.fork(["<0>", "<1>", "<2>"]))
    both = wrote(join([one, three], how=how).write(" so "))
    inner = [wrote(branch) for branch in both.fork(["a", "b"])]
    if how == "text":
        wrote(join(inner, how=how).write(" end "))
    else:
        wrote(join([inner[1], two, inner[0]], how=how).write(" end "))
    steps.append(gen(start, n=2, max_tokens=5, ignore_eos=True, logprobs=0))
    return steps


def dense_logprobs(model: PreTrainedModel, tree: TokenTree) -> npt.NDArray[np.float64]:
    """By one forward over the whole tree, each pair of tokens at its own distance."""
    packed = dense(tree)
    is_seen_TT = torch.from_numpy(visibility(tree))
    logits_TV = dense_forward(model, packed.tokens_T.tolist(), distances(tree), is_seen_TT)
    return chosen(logits_TV, tree)


def masked_logprobs(model: PreTrainedModel, tree: TokenTree) -> npt.NDArray[np.float64]:
    """By transformers, with a mask and a position for each token."""
    packed = dense(tree)
    assert packed.positions_T is not None
    mask_11TT = torch.where(torch.from_numpy(visibility(tree)), 0.0, -torch.inf)[None, None]
    with torch.inference_mode():
        logits_TV = model(
            input_ids=torch.from_numpy(packed.tokens_T)[None],
            attention_mask=mask_11TT,
            position_ids=torch.from_numpy(packed.positions_T)[None],
        ).logits[0]
    return chosen(logits_TV, tree)


def chosen(logits_TV: torch.Tensor, tree: TokenTree) -> npt.NDArray[np.float64]:
    packed = dense(tree)
    rows_TV = logits_TV.double().log_softmax(-1).numpy()[packed.previous_T]
    picked_T = rows_TV[np.arange(tree.num_tokens), packed.tokens_T]
    return np.where(packed.weights_T > 0, picked_T, np.nan)


def contents(tree: TokenTree) -> set[str]:
    """Every node with all that it goes on from, whatever its number is."""
    found: list[str] = []
    for node in tree.nodes:
        found.append(repr((replace(node, parents=()), [found[at] for at in node.parents])))
    return set(found)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("how", HOWS)
async def test_log_probabilities_are_those_of_the_rollout(
    folder: Path, model: PreTrainedModel, how: Joining
) -> None:
    exported: list[TokenTree] = []
    drawn: list[int] = []

    @program
    async def rollout() -> str:
        steps = branched(how)
        for one in steps:
            await one
            drawn.extend(len(each.token_ids) for each in one.completions)
        exported.append(export_tree(*steps))
        return "done"

    store = MemoryStore()
    async with opened(folder, CONFIG) as engine:
        run = await Run.start(rollout, engine=engine, store=store, run_id="r")
        await run.result()
        [tree] = exported
        again_T = await recompute(tree, engine)
    assert contents(tree_of(await store.steps("r"))) == contents(tree)
    assert TokenTree.from_json(tree.to_json()) == tree

    packed = dense(tree)
    assert packed.weights_T.sum() == sum(drawn)
    assert tree.has_joins == (how != "text")
    assert (packed.positions_T is None) == tree.has_turns == (how == "rotated")
    is_generated_T = packed.weights_T > 0
    assert np.array_equal(is_generated_T, ~np.isnan(packed.logprobs_T))
    np.testing.assert_allclose(again_T, packed.logprobs_T, atol=1e-4)
    np.testing.assert_allclose(dense_logprobs(model, tree), packed.logprobs_T, atol=1e-4)
    if how != "rotated":
        np.testing.assert_allclose(masked_logprobs(model, tree), packed.logprobs_T, atol=1e-4)


async def test_what_cannot_be_computed_again_is_refused() -> None:
    nodes = (TokenNode(tokens=(1,)), TokenNode(tokens=(2,), parents=(0,), sources=("lane",)))
    tree = TokenTree(nodes=nodes, why_not="Lanes saw each other's tokens as they were written.")
    assert not tree.is_recomputable
    with pytest.raises(InvalidRequest, match="Lanes saw each other"):
        await recompute(tree, ScriptedEngine(lambda _: "no"))
