"""From a name to an engine."""

from __future__ import annotations

import asyncio
from importlib import util

from weft.errors import UnsupportedFeature
from weft.runtime.engine.config import EngineConfig
from weft.runtime.engine.protocol import Engine

__all__ = ["open_engine"]


async def open_engine(
    name: str = "mini", *, config: EngineConfig | None = None, seed: int = 0
) -> Engine:
    """Load a model and start an embedded engine; close it with ``await engine.close()``.

    ``name`` is ``mini`` (the bundled model), a folder with a checkpoint, or a hub id. ``seed``
    serves the requests that bring none.

    Raises: ModelLoadError, InvalidRequest, UnsupportedFeature when the packages of the extra
    ``engine`` are missing or nothing here computes the model with the weights or the KV memory
    wanted.
    """
    if util.find_spec("torch") is None:
        raise UnsupportedFeature(
            f"The engine {name!r} runs a model, but torch is not installed.",
            remedy="Install weft with its engine extra: pip install 'weft[engine]'.",
        )
    return await asyncio.to_thread(_load, name, config or EngineConfig(), seed)


def _load(name: str, config: EngineConfig, seed: int) -> Engine:
    # torch takes seconds to import and belongs to an extra: only who opens a model pays for it.
    from weft.runtime.engine.embedded import EmbeddedEngine
    from weft.runtime.engine.model import ModelRunner, resolve_source
    from weft.runtime.engine.tokenizer import ChatTokenizer

    folder = resolve_source(name)
    runner = ModelRunner.load(
        folder,
        dtype=config.dtype,
        device=config.device,
        deterministic=config.is_deterministic,
        weights=config.weights,
        kv_dtype=config.kv_dtype,
    )
    return EmbeddedEngine(runner, ChatTokenizer.load(folder), config, name=name, seed=seed)
