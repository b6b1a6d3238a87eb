"""What a Sampling may name that depends on the model: token ids."""

from __future__ import annotations

from collections.abc import Iterable

from weft.errors import InvalidRequest
from weft.programs.sampling import Sampling

__all__ = ["check"]


def check(sampling: Sampling, vocab_size: int) -> None:
    """Make sure that every token id in ``sampling`` is one the model can draw.

    An id outside the logits' row would write into a neighbour's row or fail for the whole batch.
    Raises: InvalidRequest.
    """
    _require_known("logit_bias", sampling.logit_bias, vocab_size)
    _require_known("stop_token_ids", sampling.stop_token_ids, vocab_size)


def _require_known(name: str, token_ids: Iterable[int], vocab_size: int) -> None:
    for token_id in token_ids:
        if not 0 <= token_id < vocab_size:
            raise InvalidRequest(
                f"{name} has the token id {token_id!r}.",
                remedy=f"The model's token ids are 0 to {vocab_size - 1}.",
            )
