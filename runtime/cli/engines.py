"""Engines by name, as the command line knows them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeGuard, cast

from weft.errors import CallerError
from weft.runtime.engine import Engine, EngineConfig, open_engine
from weft.runtime.engine.config import KVDTypeName, WeightsName
from weft.runtime.testing import Prompted, ScriptedEngine

__all__ = ["opened_engine"]

SCRIPTED = "scripted://"


@asynccontextmanager
async def opened_engine(
    name: str,
    *,
    seed: int = 0,
    weights: WeightsName = "stored",
    kv_dtype: KVDTypeName = "auto",
) -> AsyncGenerator[Engine]:
    """The engine called ``name``, closed on the way out. ``weights`` and
    ``kv_dtype`` are for models alone.

    ``scripted://`` echoes prompts; ``scripted://FILE`` answers from a JSON object: the first
    key that the prompt contains gives the answer, or a list of answers by sequence. All other
    names are those of ``open_engine``. Raises CallerError, ModelLoadError, UnsupportedFeature.
    """
    if name.startswith(SCRIPTED):
        engine = _scripted(name)
    else:
        config = EngineConfig(weights=weights, kv_dtype=kv_dtype)
        engine = await open_engine(name, config=config, seed=seed)
    try:
        yield engine
    finally:
        await engine.close()


def _scripted(name: str) -> Engine:
    file = name.removeprefix(SCRIPTED)
    if not file:
        return ScriptedEngine(name=name)
    answers = _read(Path(file))

    def answer(prompted: Prompted) -> str:
        for key, texts in answers.items():
            if key in prompted.text:
                return texts if isinstance(texts, str) else texts[prompted.index % len(texts)]
        raise CallerError(
            f"{file} has no answer to the prompt {prompted.text!r}.",
            remedy="Add one; the key '' answers everything.",
        )

    return ScriptedEngine(answer, name=name)


def _read(path: Path) -> Mapping[str, str | list[str]]:
    try:
        answers: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CallerError(
            f"The script {str(path)!r} cannot be read: {error}.", remedy="Give a JSON file."
        ) from error
    if not _are_answers(answers):
        raise CallerError(
            f"The script {str(path)!r} is no JSON object of answers.",
            remedy='Write {"part of a prompt": "the answer"}; a list answers by sequence.',
        )
    return answers


def _are_answers(value: object) -> TypeGuard[Mapping[str, str | list[str]]]:
    if not isinstance(value, dict):
        return False
    return all(map(_is_answer, cast("dict[str, object]", value).values()))


def _is_answer(value: object) -> bool:
    if isinstance(value, list):
        items = cast("list[object]", value)
        return bool(items) and all(isinstance(item, str) for item in items)
    return isinstance(value, str)
