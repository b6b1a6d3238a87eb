"""The kernels compile for the GPUs they are meant for, whether one is here or not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys

from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from weft.runtime.engine.cuda import HeadShape, kernels, tiling_of

dtype, head_dim, is_tall, architecture = sys.argv[1], *map(int, sys.argv[2:])
heads = HeadShape(num_heads=16, num_kv_heads=8, head_dim=head_dim)
tiling = tiling_of(heads, 2 if dtype == "bf16" else 4, is_tall=bool(is_tall))
constants = {
    "HEADS": 16, "KV_HEADS": 8, "HEAD_DIM": head_dim, "D": head_dim, "BLOCK_SIZE": 16,
    "N": tiling.keys, "SPLIT": tiling.split, "HAS_CAP": True, "HAS_TREES": True,
    "WIDENS": False, "HAS_LSE": True, "UNROLL": 8,
}
stored = ("q", "keys", "values", "out")
pointers = {name: "*" + dtype for name in stored}
pointers |= {name: "*fp32" for name in ("sums", "best", "total", "lse")} | {"plan": "*i32"}
scalars = dict(scale="fp32", softcap="fp32", window="i32", q_row="i32", q_head="i32")
for kernel, rows in ((kernels.attend, tiling.rows), (kernels.merge, 8)):
    names = kernel.arg_names
    values = {name: {**constants, "R": rows}[name] for name in names if name in {*constants, "R"}}
    types = {name: (pointers | scalars).get(name, "constexpr") for name in names}
    aligned = [(at,) for at, name in enumerate(names) if name in {*pointers, "q_row", "q_head"}]
    source = ASTSource(
        kernel,
        types,
        {(names.index(name),): value for name, value in values.items()},
        {at: [["tt.divisibility", 16]] for at in aligned},
    )
    options = {"num_warps": tiling.num_warps if kernel is kernels.attend else 4}
    done = compile(
        source,
        target=GPUTarget("cuda", architecture, 32),
        options={**options, "enable_fp_fusion": False},
    )
    assert done.metadata.shared <= 99 << 10, done.metadata.shared
    assert "cubin" in done.asm
"""
"""The smallest of the memories that the programs of a GPU since Ampere share is 99 KiB."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "head_dim", "is_tall", "architecture"),
    [("bf16", 128, 1, 90), ("bf16", 256, 1, 80), ("fp32", 128, 0, 90)],
)
def test_the_kernels_compile(
    dtype: str, head_dim: int, is_tall: int, architecture: int, tmp_path: Path
) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    arguments = map(str, (dtype, head_dim, is_tall, architecture))
    subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
