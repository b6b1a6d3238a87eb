"""Compiling in the worker: started ahead, capped, replaced after a kill."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from typing import cast

import xgrammar

from weft.errors import EngineError, GrammarRejected
from weft.programs.grammar import GrammarSpec
from weft.runtime.grammar.limits import GrammarLimits
from weft.runtime.grammar.process import LineProcess, ProcessSilent

__all__ = ["RemoteCompiler"]

_COMMAND = (sys.executable, "-m", "weft.runtime.grammar.worker")


class RemoteCompiler:
    """Owns one worker process. For one thread at a time."""

    def __init__(self, vocabulary: xgrammar.TokenizerInfo, limits: GrammarLimits) -> None:
        self._vocabulary = vocabulary
        self._limits = limits
        self._process: LineProcess | None = None
        self._is_ready = False
        self.num_kills = 0

    @property
    def pid(self) -> int | None:
        """The worker's process id, while there is one."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the worker unless it runs. Does not wait: importing takes it seconds."""
        if self._process is None:
            self._process = LineProcess(_COMMAND, _environment())
            self._is_ready = False

    def compile(self, spec: GrammarSpec) -> xgrammar.CompiledGrammar:
        """Raises: GrammarRejected; EngineError when no worker can be started."""
        process = self._ready_process()
        line = json.dumps({"kind": spec.kind, "text": spec.text}).encode()
        try:
            reply = process.exchange(
                line,
                seconds=self._limits.compile_seconds,
                max_bytes=self._limits.max_compiled_bytes,
            )
        except ProcessSilent as error:
            self._replace()
            raise GrammarRejected(
                f"Compiling the {spec.kind} was stopped: {error.reason}.",
                remedy="Simplify it: fewer repetitions, alternatives and optional properties.",
            ) from error
        return self._decoded(json.loads(reply))

    def close(self) -> None:
        """Kill the worker. A later ``compile`` starts a new one."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def _decoded(self, reply: dict[str, str]) -> xgrammar.CompiledGrammar:
        if "grammar" not in reply:
            raise GrammarRejected(reply["what"], remedy=reply["remedy"])
        return xgrammar.CompiledGrammar.deserialize_json(reply["grammar"], self._vocabulary)

    def _ready_process(self) -> LineProcess:
        self.start()
        process = cast(LineProcess, self._process)
        if not self._is_ready:
            self._greet(process)
            self._is_ready = True
        return process

    def _greet(self, process: LineProcess) -> None:
        greeting = {
            "limits": dataclasses.asdict(self._limits),
            "vocabulary": self._vocabulary.serialize_json(),
        }
        try:
            process.exchange(
                json.dumps(greeting).encode(),
                seconds=self._limits.start_seconds,
                max_bytes=_GREETING_BYTES,
            )
        except ProcessSilent as error:
            self.close()
            raise EngineError(
                f"The grammar worker did not start: {error.reason}.",
                remedy="Its standard error says why.",
            ) from error

    def _replace(self) -> None:
        self.close()
        self.num_kills += 1
        self.start()


_GREETING_BYTES = 1_024


def _environment() -> dict[str, str]:
    """The worker sees the import path and nothing else of ours: no keys, no tokens."""
    return {
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        "PYTHONWARNINGS": "ignore",
    }
