"""weft: LLM programs as plain async Python, on an engine that knows the program.

What a program needs is here by name; torch is imported only when an engine is opened.
"""

from weft.errors import WeftError
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
from weft.runtime.engine import Engine, EngineConfig, open_engine
from weft.runtime.executor import Run, run_sync
from weft.runtime.journal.store import Store

__all__ = [
    "Budget",
    "Candidates",
    "Chat",
    "Ebnf",
    "Engine",
    "EngineConfig",
    "JsonSchema",
    "Message",
    "Program",
    "Regex",
    "Retry",
    "Run",
    "Step",
    "Store",
    "Verdict",
    "WeftError",
    "chat",
    "gen",
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
