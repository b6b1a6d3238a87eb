"""weft: LLM programs as plain async Python, on an engine that knows the program.

Names are loaded when first used, so that ``import weft`` is light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weft.agents import Agent
    from weft.errors import WeftError
    from weft.programs import (
        Budget,
        Candidates,
        Chat,
        Context,
        Control,
        Ebnf,
        HeadForm,
        JsonSchema,
        Message,
        Program,
        Regex,
        RegionForm,
        Retry,
        Step,
        TokenTree,
        Unfolded,
        Verdict,
        call_tool,
        chat,
        context,
        export_tree,
        gen,
        gen_regions,
        hogwild,
        join,
        pmap,
        program,
        race,
        step,
        tool,
        verifier,
        vote,
    )
    from weft.runtime.engine import Engine, EngineConfig, open_engine
    from weft.runtime.executor import Run, run_sync
    from weft.runtime.journal.store import Store
    from weft.tools import IdemKey

__all__ = [
    "Agent",
    "Budget",
    "Candidates",
    "Chat",
    "Context",
    "Control",
    "Ebnf",
    "Engine",
    "EngineConfig",
    "HeadForm",
    "IdemKey",
    "JsonSchema",
    "Message",
    "Program",
    "Regex",
    "RegionForm",
    "Retry",
    "Run",
    "Step",
    "Store",
    "TokenTree",
    "Unfolded",
    "Verdict",
    "WeftError",
    "call_tool",
    "chat",
    "context",
    "export_tree",
    "gen",
    "gen_regions",
    "hogwild",
    "join",
    "open_engine",
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
    "Agent": "weft.agents",
    "Engine": "weft.runtime.engine",
    "EngineConfig": "weft.runtime.engine",
    "IdemKey": "weft.tools",
    "Run": "weft.runtime.executor",
    "Store": "weft.runtime.journal.store",
    "WeftError": "weft.errors",
    "open_engine": "weft.runtime.engine",
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
