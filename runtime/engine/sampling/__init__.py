"""Drawing the next token of every sequence in a batch at once."""

from __future__ import annotations

from weft.runtime.engine.sampling.check import check
from weft.runtime.engine.sampling.row import SamplingRow
from weft.runtime.engine.sampling.sampler import Sampled, Sampler
from weft.runtime.engine.sampling.uniforms import uniforms

__all__ = ["Sampled", "Sampler", "SamplingRow", "check", "uniforms"]
