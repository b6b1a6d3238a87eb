from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.tiny import build_checkpoint

# The same examples every time, however busy the machine is: a failure is a failure again.
settings.register_profile("weft", deadline=None, derandomize=True)
settings.load_profile("weft")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random model; read only."""
    return build_checkpoint(tmp_path_factory.mktemp("tiny"))
