from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tiny import build_checkpoint


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random model; read only."""
    return build_checkpoint(tmp_path_factory.mktemp("tiny"))
