"""The bundled model: checks of its held-out problems and the estimator of pass@k."""

from weft.runtime.model.checks import check
from weft.runtime.model.passk import pass_at_k

__all__ = ["check", "pass_at_k"]
