"""Everything here runs the kernels: on a GPU where there is one, else interpreted."""

from __future__ import annotations

import pytest

pytest.importorskip("triton", reason="Triton comes with torch's builds for CUDA")
