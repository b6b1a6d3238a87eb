"""The process that compiles what strangers send. It may be killed at any time.

Speaks JSON, one value per line, over its standard input and output; never pickle. The first line
in describes the vocabulary and the limits, the first line out says it is ready; after that each
line in is a description and each line out its compiled grammar or the reason against it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Mapping
from typing import BinaryIO, cast

import xgrammar

from weft.errors import GrammarRejected
from weft.programs.grammar import GrammarKind, GrammarSpec
from weft.runtime.grammar.assemble import assemble
from weft.runtime.grammar.limits import GrammarLimits

__all__ = ["main"]

_HARMLESS = "oneOf with overlapping or non-provably-disjoint branches"
"""A warning about what ``check_schema`` has made sure of."""


def main() -> None:
    """Serve until standard input ends."""
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    with tempfile.TemporaryFile() as warnings:
        first = json.loads(requests.readline())
        limits = GrammarLimits(**first["limits"])
        vocabulary = xgrammar.TokenizerInfo.deserialize_json(first["vocabulary"])
        compiler = xgrammar.GrammarCompiler(vocabulary, max_threads=1, cache_enabled=False)
        _confine(limits)
        # xgrammar says on standard error what it ignores; nothing else may use these two.
        os.dup2(warnings.fileno(), 2)
        os.dup2(2, 1)
        _send(replies, {"ready": True})
        for line in requests:
            signal.setitimer(signal.ITIMER_REAL, 2 * limits.compile_seconds)
            reply = _answer(json.loads(line), compiler, limits, warnings)
            signal.setitimer(signal.ITIMER_REAL, 0)
            _send(replies, reply)


def _confine(limits: GrammarLimits) -> None:
    """Cap memory, forbid core files, and let the timer end the process should the parent be
    gone."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        size_bytes = int(statm.read().split()[0]) * resource.getpagesize()
    cap = size_bytes + limits.worker_memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (cap, cap))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _answer(
    request: Mapping[str, str],
    compiler: xgrammar.GrammarCompiler,
    limits: GrammarLimits,
    warnings: BinaryIO,
) -> Mapping[str, object]:
    warnings.truncate(0)
    warnings.seek(0)
    spec = GrammarSpec(kind=cast(GrammarKind, request["kind"]), text=request["text"])
    try:
        compiled = assemble(spec, compiler, limits)
        _check_warnings(warnings)
        return {"grammar": compiled.serialize_json()}
    except GrammarRejected as error:
        return {"what": error.what, "remedy": error.remedy}
    except (MemoryError, RecursionError):
        return {"what": "Compiling the grammar needs too much memory.", "remedy": "Simplify it."}


def _check_warnings(warnings: BinaryIO) -> None:
    warnings.seek(0)
    for line in warnings.read().decode(errors="replace").splitlines():
        _, is_warning, text = line.partition("Warning: ")
        if is_warning and not text.startswith(_HARMLESS):
            raise GrammarRejected(
                f"The grammar cannot be enforced in full: {text.rstrip('.')}.",
                remedy="Leave that part out.",
            )


def _send(replies: BinaryIO, reply: Mapping[str, object]) -> None:
    replies.write(json.dumps(reply).encode() + b"\n")
    replies.flush()


if __name__ == "__main__":
    main()
