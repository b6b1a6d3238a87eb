"""The bundled model: its files, checks of its held-out problems, the estimator of pass@k."""

from weft.runtime.model.bundle import MINI, damage_of, write_checksums
from weft.runtime.model.checks import check
from weft.runtime.model.passk import pass_at_k

__all__ = ["MINI", "check", "damage_of", "pass_at_k", "write_checksums"]
