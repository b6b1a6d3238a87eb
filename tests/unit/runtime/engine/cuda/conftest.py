"""Everything here runs the kernels: on a GPU where there is one, else interpreted."""

from __future__ import annotations

import pytest

pytest.importorskip("triton", reason="Triton is not to be had on every platform")
