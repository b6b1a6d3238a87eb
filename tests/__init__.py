"""Tests of weft. Where there is no GPU, Triton's kernels run on the processor, interpreted."""

from __future__ import annotations

import os

import torch

if not torch.cuda.is_available():
    # Read when Triton is first imported, which transformers causes.
    os.environ.setdefault("TRITON_INTERPRET", "1")
