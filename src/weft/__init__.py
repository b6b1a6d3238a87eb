"""weft: LLM programs as plain async Python, on an engine that knows the program.

Names are loaded when first used, so that ``import weft`` is light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weft.programs import (
        Budget,
        Candidates,
        Chat,
        Ebnf,
        JsonSchema,
        Message,
        Program,
        Regex,
        Retry,
        Step,
        Verdict,
        chat,
        gen,
        pmap,
        program,
        race,
        step,
        tool,
        verifier,
        vote,
    )
    from weft.runtime.engine import Engine
    from weft.runtime.executor import Run, run_sync
    from weft.runtime.journal import Store

__all__ = [
    "Budget",
    "Candidates",
    "Chat",
    "Ebnf",
    "Engine",
    "JsonSchema",
    "Message",
    "Program",
    "Regex",
    "Retry",
    "Run",
    "Step",
    "Store",
    "Verdict",
    "chat",
    "gen",
    "pmap",
    "program",
    "race",
    "run_sync",
    "step",
    "tool",
    "verifier",
    "vote",
]

_HOMES = {
    "Engine": "weft.runtime.engine.protocol",
    "Run": "weft.runtime.executor",
    "Store": "weft.runtime.journal.store",
    "run_sync": "weft.runtime.executor",
}
"""Where a name lives, if not in ``weft.programs``."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'weft' has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES.get(name, "weft.programs")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
