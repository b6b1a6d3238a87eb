"""Connects a driver script to its pipes: ``python wire.py DRIVER.py [ARGUMENT …]``.

The driver defines ``open_driver(*arguments)``, which returns a mapping from the name of an
operation to a function of keyword arguments. Each line of standard input names one operation;
each line of standard output answers it. Standard library only, because it runs in environments
that do not know weft.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from importlib import util
from typing import TextIO

__all__ = ["serve", "take_stdout"]

Operations = Mapping[str, Callable[..., object]]


def take_stdout() -> TextIO:
    """The real standard output; what others print there goes to standard error from now on."""
    own = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(own, "w", encoding="utf-8")


def serve(operations: Operations, lines: TextIO, out: TextIO) -> None:
    """Answer each line until the input ends, then call the operation ``close`` if there is one."""
    for line in lines:
        out.write(json.dumps(_answer(operations, json.loads(line))) + "\n")
        out.flush()
    if "close" in operations:
        operations["close"]()


def _answer(operations: Operations, call: dict[str, object]) -> dict[str, object]:
    # Whatever the contender raises is the answer: the bench decides what to make of it.
    try:
        return {"result": operations[str(call.pop("operation"))](**call)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def _load(path: str) -> Callable[..., Operations]:
    spec = util.spec_from_file_location("driver", path)
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules["driver"] = module
    spec.loader.exec_module(module)
    opener: Callable[..., Operations] = module.open_driver
    return opener


if __name__ == "__main__":
    stdout = take_stdout()
    serve(_load(sys.argv[1])(*sys.argv[2:]), sys.stdin, stdout)
