"""Attention over paged keys in Triton, split over the keys (flash decoding, Dao et al., 2023).

Shapes: R rows of a tile (heads that share a key-value head, query after query), N keys of a tile,
D head dimension padded to a power of two, P parts.

``attend`` walks the items of a Plan. An item is a tile of views and the splits of their keys that
they read together; a split is a fixed range of positions. Inside a split a row keeps the greatest
score, the sum of its weights and the weighted values, in float32; splits are joined to those
before them in order, here or in ``merge``, by the same arithmetic. So what a row computes depends
on its own keys and their positions alone, whoever shares its tile and whoever joins its splits.
Scores count powers of two, which are cheaper to raise.

``WIDENS``: operands of products are widened first, which changes no product; Triton's interpreter
takes bfloat16 for integers there.

Multiplications and additions are never fused (see ``launch``): a compiler would be free to fuse
them in one of the two kernels only.
"""

# Triton compiles these functions from their source, in a language of its own that checkers of
# Python cannot know.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportGeneralTypeIssues=false

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)
HEADER_ITEMS = tl.constexpr(1)
HEADER_VIEWS = tl.constexpr(2)
HEADER_PARTS = tl.constexpr(3)
ITEM_SIZE = tl.constexpr(5)
VIEW_SIZE = tl.constexpr(7)


@triton.jit
def attend(
    q,
    keys,
    values,
    sums,
    best,
    total,
    plan,
    scale,
    softcap,
    window,
    q_row,
    q_head,
    HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
    R: tl.constexpr,
    N: tl.constexpr,
    SPLIT: tl.constexpr,
    D: tl.constexpr,
    HAS_CAP: tl.constexpr,
    HAS_TREES: tl.constexpr,
    WIDENS: tl.constexpr,
):
    kv_head = tl.program_id(1)
    group: tl.constexpr = HEADS // KV_HEADS
    num_items = tl.load(plan)
    items = plan + tl.load(plan + HEADER_ITEMS)
    views = plan + tl.load(plan + HEADER_VIEWS)
    d = tl.arange(0, D)
    is_d = d < HEAD_DIM
    row = tl.arange(0, R)
    for i in range(tl.program_id(0), num_items, tl.num_programs(0)):
        item = items + i * ITEM_SIZE
        begin = tl.load(item)
        end = tl.load(item + 1)
        view = begin + row // group
        is_row = (row < (R // group) * group) & (view < end)
        mine = views + view * VIEW_SIZE
        q_at = tl.load(mine, mask=is_row, other=0).to(tl.int64) * q_row
        position = tl.load(mine + 2, mask=is_row, other=0)
        seen_end = tl.load(mine + 3, mask=is_row, other=0)
        part = tl.load(mine + 4, mask=is_row, other=0) + tl.load(item + 4)
        seen_begin = tl.maximum(position - window + 1, 0)
        head = kv_head * group + row % group
        q_at += head * q_head
        q_RD = tl.load(
            q + q_at[:, None] + d[None, :], mask=is_row[:, None] & is_d[None, :], other=0.0
        ).to(keys.dtype.element_ty)
        if WIDENS:
            q_RD = q_RD.to(tl.float32)
        # Where views of one table see different parts of a split, the last one has most of it.
        last = views + (end - 1) * VIEW_SIZE
        low = tl.min(tl.where(is_row, seen_begin, 2147483647), 0)
        high = tl.max(seen_end, 0)

        best_R = tl.full((R,), -float("inf"), tl.float32)
        total_R = tl.zeros((R,), tl.float32)
        sums_RD = tl.zeros((R, D), tl.float32)
        for split in range(tl.load(item + 2), tl.load(item + 3)):
            best_of, total_of, sums_of = read_split(
                q_RD,
                keys,
                values,
                plan,
                last,
                tl.maximum(split * SPLIT, low // N * N),
                tl.minimum((split + 1) * SPLIT, high),
                low,
                seen_begin,
                seen_end,
                scale,
                softcap,
                kv_head,
                KV_HEADS,
                HEAD_DIM,
                BLOCK_SIZE,
                R,
                N,
                D,
                HAS_CAP,
                HAS_TREES,
                WIDENS,
            )
            best_R, total_R, sums_RD = join(best_R, total_R, sums_RD, best_of, total_of, sums_of)

        to = part.to(tl.int64) * HEADS + head
        tl.store(best + to, best_R, mask=is_row)
        tl.store(total + to, total_R, mask=is_row)
        tl.store(
            sums + to[:, None] * HEAD_DIM + d[None, :],
            sums_RD,
            mask=is_row[:, None] & is_d[None, :],
        )


@triton.jit
def read_split(
    q_RD,
    keys,
    values,
    plan,
    view,
    start,
    stop,
    low,
    seen_begin,
    seen_end,
    scale,
    softcap,
    kv_head,
    KV_HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
    R: tl.constexpr,
    N: tl.constexpr,
    D: tl.constexpr,
    HAS_CAP: tl.constexpr,
    HAS_TREES: tl.constexpr,
    WIDENS: tl.constexpr,
):
    """The state of every row after keys ``start`` to ``stop``, found by the table of ``view``, of
    which no row sees one before ``low``."""
    d = tl.arange(0, D)
    table = plan + tl.load(view + 1)
    base = tl.load(view + 5)
    path = plan + tl.load(view + 6)
    best_R = tl.full((R,), -float("inf"), tl.float32)
    total_R = tl.zeros((R,), tl.float32)
    sums_RD = tl.zeros((R, D), tl.float32)
    for first in range(start, stop, N):
        key = first + tl.arange(0, N)
        is_key = (key >= low) & (key < stop)
        place = key
        if HAS_TREES:
            is_node = is_key & (key >= base)
            place = tl.where(is_node, tl.load(path + key - base, mask=is_node, other=0), key)
        block = tl.load(table + place // BLOCK_SIZE, mask=is_key, other=0).to(tl.int64)
        slot = block * BLOCK_SIZE + place % BLOCK_SIZE
        at = (slot * KV_HEADS + kv_head) * HEAD_DIM
        # What no row may see is never read: a NaN in it times a weight of 0 stays NaN.
        mask = is_key[:, None] & (d < HEAD_DIM)[None, :]
        k_ND = tl.load(keys + at[:, None] + d[None, :], mask=mask, other=0.0)
        v_ND = tl.load(values + at[:, None] + d[None, :], mask=mask, other=0.0)
        if WIDENS:
            k_ND = k_ND.to(tl.float32)
            v_ND = v_ND.to(tl.float32)
        score = tl.dot(q_RD, tl.trans(k_ND), input_precision="ieee") * scale
        if HAS_CAP:
            fall = tl.exp(tl.abs(score) * (-2.0 / softcap))
            tanh = (1.0 - fall) / (1.0 + fall)
            score = softcap * tl.where(score < 0, -tanh, tanh)
        sees = (key[None, :] >= seen_begin[:, None]) & (key[None, :] < seen_end[:, None])
        score = tl.where(sees, score * LOG2_E, -float("inf"))
        best_to = tl.maximum(best_R, tl.max(score, 1))
        shift = tl.where(best_to == -float("inf"), 0.0, best_to)
        weight = tl.exp2(score - shift[:, None])
        factor = tl.exp2(best_R - shift)
        total_R = total_R * factor + tl.sum(weight, 1)
        weight = weight.to(values.dtype.element_ty).to(v_ND.dtype)
        sums_RD = tl.dot(weight, v_ND, sums_RD * factor[:, None], input_precision="ieee")
        best_R = best_to
    return best_R, total_R, sums_RD


@triton.jit
def merge(
    sums,
    best,
    total,
    out,
    lse,
    plan,
    HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    R: tl.constexpr,
    D: tl.constexpr,
    HAS_LSE: tl.constexpr,
    UNROLL: tl.constexpr,
):
    query = tl.program_id(0)
    parts = plan + tl.load(plan + HEADER_PARTS) + query
    begin = tl.load(parts)
    end = tl.load(parts + 1)
    head = tl.program_id(1) * R + tl.arange(0, R)
    d = tl.arange(0, D)
    is_head = head < HEADS
    is_d = d < HEAD_DIM
    best_R = tl.full((R,), -float("inf"), tl.float32)
    total_R = tl.zeros((R,), tl.float32)
    sums_RD = tl.zeros((R, D), tl.float32)
    for first in range(begin, end, UNROLL):
        # Laid out, so that the reads of several parts are under way at once; one that is not
        # there is empty, and joining it changes nothing.
        for j in tl.static_range(UNROLL):
            part = tl.full((R,), j, tl.int32) + first
            at = part.to(tl.int64) * HEADS + head
            is_part = is_head & (part < end)
            best_of = tl.load(best + at, mask=is_part, other=-float("inf"))
            total_of = tl.load(total + at, mask=is_part, other=0.0)
            sums_of = tl.load(
                sums + at[:, None] * HEAD_DIM + d[None, :],
                mask=is_part[:, None] & is_d[None, :],
                other=0.0,
            )
            best_R, total_R, sums_RD = join(best_R, total_R, sums_RD, best_of, total_of, sums_of)
    # The greatest score has weight 1: only who saw no key has a total of 0.
    weight_R = tl.where(total_R == 0, 1.0, total_R)
    out_RD = sums_RD / weight_R[:, None]
    at = query * HEADS + head.to(tl.int64)
    tl.store(
        out + at[:, None] * HEAD_DIM + d[None, :],
        out_RD.to(out.dtype.element_ty),
        mask=is_head[:, None] & is_d[None, :],
    )
    if HAS_LSE:
        tl.store(lse + at, best_R * LN_2 + tl.log(weight_R), mask=is_head)


@triton.jit
def join(best_R, total_R, sums_RD, best_of, total_of, sums_of):
    """The state after one more split. An empty one, on either side, changes no bit."""
    best_to = tl.maximum(best_R, best_of)
    shift = tl.where(best_to == -float("inf"), 0.0, best_to)
    before = tl.exp2(best_R - shift)
    added = tl.exp2(best_of - shift)
    total_to = total_R * before + total_of * added
    sums_to = sums_RD * before[:, None] + sums_of * added[:, None]
    return best_to, total_to, sums_to
