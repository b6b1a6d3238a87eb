"""Engines that can be measured against each other: what starts one, and what it is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from weft.runtime.bench.driver import Driver
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.peers import Peer, find_peer
from weft.runtime.machine import has_native_bf16

__all__ = [
    "Contender",
    "engine_contenders",
    "own_environment",
    "start",
    "vllm_contenders",
    "vllm_environment",
]


BOUND_BATCH = 4
"""With more rows at once neither memory nor products alone limit decoding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One engine in one dtype. Contenders of the same ``kind`` are variants of one peer."""

    kind: str
    script: str
    dtype: str
    """``auto`` leaves the choice to the engine."""
    python: Path = Path(sys.executable)
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    arguments: tuple[str, ...] = ()
    max_batch: int | None = None
    """It is left out where more sequences are served at once."""

    @property
    def name(self) -> str:
        return self.kind if self.dtype == "auto" else f"{self.kind}-{self.dtype}"


def engine_contenders(options: BenchOptions, *, has_gpu: bool) -> tuple[list[Contender], list[str]]:
    """weft, what the machine allows, every engine found, and a line about each one that is not.

    A peer is tried in the checkpoint's bfloat16, and also in float32 where the processor only
    emulates bfloat16: figures are taken against the faster of the two. With ``has_gpu`` all of
    them compute there, and transformers' continuous batching is one more.
    """
    found = [
        Contender(kind="weft", script="weft_driver.py", dtype="auto", env=own_environment()),
        Contender(kind="bound", script="bound_driver.py", dtype="auto", max_batch=BOUND_BATCH),
        *(
            Contender(kind="transformers", script="transformers_driver.py", dtype=dtype)
            for dtype in _dtypes(has_gpu=has_gpu)
        ),
    ]
    if has_gpu:
        script = "transformers_cb_driver.py"
        found.append(Contender(kind="transformers_cb", script=script, dtype="bfloat16"))
    contenders, missing = vllm_contenders(options, has_gpu=has_gpu)
    return [*found, *contenders], missing


def vllm_contenders(
    options: BenchOptions, *, has_gpu: bool = False
) -> tuple[list[Contender], list[str]]:
    """vLLM in every dtype that it is tried in, an emulated one first, or a line about why there is
    none."""
    peer = find_peer("vllm", options)
    if has_gpu and (peer is None or peer.url is None):
        return [], ["vllm: its environment computes on processors; name a server, --peer vllm=URL"]
    if peer is None:
        return [], [f"vllm: no environment in {options.peers_folder}; make peers installs it"]
    return _vllm(peer, _dtypes(has_gpu=has_gpu)), []


def start(contender: Contender) -> Driver:
    """Start its process, which loads nothing yet. Raises PeerFailed."""
    return Driver(
        contender.python,
        contender.script,
        peer=contender.name,
        env=contender.env,
        arguments=contender.arguments,
    )


def own_environment() -> dict[str, str]:
    """What lets a child of this interpreter import the same weft."""
    home = str(Path(str(files("weft"))).absolute().parent)
    return {"PYTHONPATH": os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))}


def _dtypes(*, has_gpu: bool) -> list[str]:
    return ["bfloat16"] if has_gpu or has_native_bf16() else ["bfloat16", "float32"]


def _vllm(peer: Peer, dtypes: list[str]) -> list[Contender]:
    if peer.url is not None:
        # What dtype a running server computes in was decided by who started it.
        return [
            Contender(kind="vllm", script="http_driver.py", dtype="auto", arguments=(peer.url,))
        ]
    assert peer.python is not None
    env = vllm_environment(peer.python.parents[1])
    return [
        Contender(kind="vllm", script="vllm_driver.py", dtype=dtype, python=peer.python, env=env)
        for dtype in dtypes
    ]


def vllm_environment(home: Path) -> dict[str, str]:
    """vLLM on every core of this process; in one process, which was its fastest form. What it
    compiles stays below its own environment. 2 GiB hold more than 128 sequences of a bench."""
    cores = sorted(os.sched_getaffinity(0))
    return {
        "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, cores)),
        "OMP_NUM_THREADS": str(len(cores)),
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "VLLM_CACHE_ROOT": str(home / "cache"),
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_LOGGING_LEVEL": "WARNING",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
