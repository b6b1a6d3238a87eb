"""Documents of several segments: what their tokens see, and the forward pass that obeys it.

Shape suffixes: B documents, T tokens, S segments, H heads, E head size.
"""

# torch leaves `arange` and a few others without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from itertools import pairwise
from random import Random

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM

from examples.mini.branches import joined
from examples.mini.documents import Document, Views
from examples.mini.lanes import Lane, shares, team
from examples.mini.segments import (
    Seen,
    Segment,
    collate_segments,
    continued,
    segment_batches,
    stream,
)
from examples.mini.trunk import Trunk, layer_weights, rms_norm

END = 31


def tiny_model() -> Qwen3ForCausalLM:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        initializer_range=0.3,
    )
    return Qwen3ForCausalLM(config)


def pair_by_pair(model: Qwen3ForCausalLM, ids_T: Tensor, views: Views) -> Tensor:
    """Hidden states of one document, (T, D): every query is turned anew for every key."""
    num_tokens, first = len(ids_T), views.starts[1]
    distances_TT = torch.zeros(num_tokens, num_tokens, dtype=torch.long)
    is_seen_TT = torch.zeros(num_tokens, num_tokens, dtype=torch.bool)
    for token in range(num_tokens):
        for segment, (start, end) in enumerate(pairwise(views.starts)):
            seen = int(views.seen_BTS[0, token, segment])
            turn = int(views.turns_BTS[0, token, segment])
            if token < first:
                seen, turn = (token + 1, token) if segment == 0 else (0, 0)
            for place in range(min(seen, end - start)):
                is_seen_TT[token, start + place] = True
                distances_TT[token, start + place] = turn - place
    x_TD = model.model.embed_tokens(ids_T)
    span = torch.arange(int(distances_TT.max()) + 1)[None]
    cos, sin = (part[0] for part in model.model.rotary_emb(x_TD[None], span))
    cos_TTE, sin_TTE = cos[distances_TT], sin[distances_TT]
    for layer in model.model.layers:
        weights, mlp = layer_weights(layer), dict(layer.named_children())["mlp"]
        y_TD = rms_norm(x_TD, weights["input_layernorm"], 1e-6)
        parts = [
            (y_TD @ weights[f"self_attn.{name}_proj"].T).unflatten(-1, (-1, 8)) for name in "qkv"
        ]
        q_THE = rms_norm(parts[0], weights["self_attn.q_norm"], 1e-6)
        k_THE = rms_norm(parts[1], weights["self_attn.k_norm"], 1e-6).repeat_interleave(2, 1)
        v_THE = parts[2].repeat_interleave(2, 1)
        half_low, half_high = q_THE.chunk(2, -1)
        swapped_THE = torch.cat((-half_high, half_low), -1)
        turned_TTHE = (
            q_THE[:, None] * cos_TTE[:, :, None] + swapped_THE[:, None] * sin_TTE[:, :, None]
        )
        scores_HTT = torch.einsum("tshe,she->hts", turned_TTHE, k_THE) * 8**-0.5
        weights_HTT = scores_HTT.masked_fill(~is_seen_TT, -torch.inf).softmax(-1)
        mixed_THE = torch.einsum("hts,she->the", weights_HTT, v_THE)
        x_TD = x_TD + mixed_THE.flatten(1) @ weights["self_attn.o_proj"].T
        x_TD = x_TD + mlp(rms_norm(x_TD, weights["post_attention_layernorm"], 1e-6))
    return rms_norm(x_TD, model.model.norm.weight, 1e-6)


def random_ids(rng: Random, count: int) -> list[int]:
    return [rng.randrange(30) for _ in range(count)]


def lanes(seed: int, starts: list[int]) -> list[Segment]:
    rng = Random(seed)
    written = [Lane(random_ids(rng, 3 + rng.randint(1, 9)), 3, start) for start in starts]
    return team(random_ids(rng, 5 + seed), written, END)


def outline(seed: int) -> list[Segment]:
    rng = Random(seed)
    lengths = [rng.randint(2, 6) for _ in range(3)]
    documents = [Document(ids=random_ids(rng, n), targets=[]) for n in (7, *lengths, 4)]
    branches = [stream(documents[n], n, (Seen(0, 7, 7),), 5) for n in (1, 2, 3)]
    ending = continued(documents[4].ids, 1, END)
    conclusion = stream(ending, 4, joined(7, lengths), 5)
    return [stream(documents[0], 0, (), 5), *branches, conclusion]


DOCUMENTS = {
    "one lane": lanes(0, [0]),
    "two lanes": lanes(1, [0, 0]),
    "four lanes that begin at other times": lanes(2, [0, 4, 2, 0]),
    "outline": outline(3),
}


@pytest.mark.parametrize("name", DOCUMENTS)
@torch.inference_mode()
def test_the_forward_pass_equals_one_pair_by_pair(name: str) -> None:
    model = tiny_model()
    batch = collate_segments([DOCUMENTS[name]], 0)
    assert batch.views is not None
    wanted_TD = pair_by_pair(model, batch.ids_BT[0], batch.views)
    torch.testing.assert_close(Trunk(model)(batch.ids_BT, batch.views)[0], wanted_TD)


@torch.inference_mode()
def test_one_lane_is_plain_text() -> None:
    model = tiny_model()
    batch = collate_segments([DOCUMENTS["one lane"]], 0)
    trunk = Trunk(model)
    torch.testing.assert_close(trunk(batch.ids_BT, batch.views), trunk(batch.ids_BT))


@torch.inference_mode()
def test_padding_does_not_show() -> None:
    model = tiny_model()
    trunk = Trunk(model)
    documents = [lanes(1, [0, 0]), lanes(4, [3, 0])]
    together = collate_segments(documents, 0)
    assert together.views is not None
    hidden_BTD = trunk(together.ids_BT, together.views)
    for row, document in enumerate(documents):
        alone = collate_segments([document], 0)
        assert alone.views is not None
        spans = zip(pairwise(together.views.starts), document, strict=True)
        kept = [hidden_BTD[row, a : a + len(part.document.ids)] for (a, _), part in spans]
        torch.testing.assert_close(torch.cat(kept), trunk(alone.ids_BT, alone.views)[0])


def test_whoever_is_free_takes_the_next_item() -> None:
    assert shares([5, 5, 5, 5], [0, 0]) == [[0, 2], [1, 3]]
    assert shares([9, 2, 2, 2], [0, 0]) == [[0], [1, 2, 3]]
    assert shares([3, 3, 3], [0, 7]) == [[0, 1, 2], []]
    assert shares([3, 3], [4, 0, 0, 9]) == [[], [0], [1], []]


def test_lanes_see_what_is_written_and_stand_behind_it() -> None:
    prompt = [1, 2, 3]
    first, second = Lane([10, 11, 12, 13, 14], 2, 0), Lane([20, 21, 22], 2, 1)
    segments = team(prompt, [first, second], END)
    # The second lane's head is there at the step of the first lane's first written token.
    assert segments[1].seen_TS.tolist() == [
        [3, 1, 0],
        [3, 2, 0],
        [3, 3, 2],
        [3, 4, 3],
        [3, 5, 3],
    ]
    assert segments[2].seen_TS.tolist() == [[3, 3, 1], [3, 3, 2], [3, 4, 3]]
    # In its own view a lane stands behind the prompt and the other lane as long as it is.
    assert segments[1].turns_TS[:, 0].tolist() == [3, 4, 3 + 2 + 2, 3 + 3 + 3, 3 + 3 + 4]
    assert segments[1].turns_TS[:, 1].tolist() == [0, 1, 2, 3, 4]
    assert segments[1].turns_TS[:, 2].tolist()[2:] == [2 + 2, 3 + 3, 3 + 4]
    assert segments[2].turns_TS[:, 1].tolist() == [3, 3 + 1, 4 + 2]
    assert segments[1].document.targets == [(1, 12, 1.0), (2, 13, 1.0), (3, 14, 1.0), (4, END, 1.0)]


def test_a_conclusion_stands_behind_the_longest_branch() -> None:
    conclusion = outline(3)[-1]
    lengths = [len(segment.document.ids) for segment in outline(3)[1:4]]
    assert conclusion.seen_TS[0].tolist() == [7, *lengths, 1]
    assert conclusion.turns_TS[0].tolist() == [7 + max(lengths), *[max(lengths)] * 3, 0]
    branch = outline(3)[2]
    assert branch.turns_TS[0].tolist() == [7, 0, 0, 0, 0]
    assert branch.seen_TS[1].tolist() == [7, 0, 2, 0, 0]


def test_targets_follow_what_is_given() -> None:
    document = continued([5, 6, 7, 8], 2, None)
    assert document.targets == [(1, 7, 1.0), (2, 8, 1.0)]
    assert continued([5, 6], 2, END).targets == [(1, END, 1.0)]


def test_batches_hold_documents_of_one_shape_and_repeat() -> None:
    documents = [lanes(seed, [0] * (1 + seed % 3)) for seed in range(20)]
    once = list(segment_batches(documents, 0, Random(0)))
    again = list(segment_batches(documents, 0, Random(0)))
    assert sum(len(batch.ids_BT) for batch in once) == 20
    assert all(torch.equal(a.ids_BT, b.ids_BT) for a, b in zip(once, again, strict=True))
    num_targets = sum(len(part.document.targets) for item in documents for part in item)
    assert sum(len(batch.positions_P) for batch in once) == num_targets
    assert np.sum([batch.views is None for batch in once]) == 0
