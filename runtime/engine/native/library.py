"""Compiles the kernels once per processor and compiler, and loads them."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from ctypes import POINTER, c_int32, c_int64, c_void_p
from functools import cache
from importlib.resources import files
from pathlib import Path

from weft.runtime.engine.native.structs import Batch, Decoder, Heads, Paging, Weight

__all__ = ["KernelsMissing", "cache_folder", "load_kernels"]

SOURCES = (
    "decoder.cpp",
    "attention.h",
    "memory.h",
    "plan.h",
    "product.h",
    "quantised.h",
    "tile.h",
    "vectors.h",
)
FLAGS = (
    "-std=c++17",
    "-O3",
    "-march=native",
    "-fopenmp",
    "-fPIC",
    "-shared",
    "-fno-math-errno",
    "-fno-trapping-math",
)
"""No -ffast-math: sums keep their order, and a NaN of the model stays one."""
COMPILE_SECONDS = 300.0


class KernelsMissing(Exception):
    """The kernels cannot be had here; the text says why. The engine then computes with torch."""


def cache_folder() -> Path:
    """Where compiled kernels are kept: ``weft/kernels`` in the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "weft" / "kernels"


@cache
def load_kernels(folder: Path | None = None) -> ctypes.CDLL:
    """The kernels, compiled into ``folder`` (the user's cache) unless they are there already.

    Calls release the interpreter's lock. Raises: KernelsMissing.
    """
    compiler = shutil.which(os.environ.get("CXX") or "g++")
    if compiler is None:
        raise KernelsMissing("there is no C++ compiler (g++)")
    file = _compile(compiler, folder or cache_folder())
    try:
        library = ctypes.CDLL(str(file))
    except OSError as error:
        raise KernelsMissing(f"{file} does not load: {error}") from None
    return _declare(library)


def _compile(compiler: str, folder: Path) -> Path:
    file = folder / f"decoder-{_fingerprint(compiler)}.so"
    if file.exists():
        return file
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Written beside its place and moved there: another process never loads half a library.
        with tempfile.TemporaryDirectory(dir=folder) as place:
            built = Path(place) / "decoder.so"
            _run_compiler([compiler, *FLAGS, str(_source("decoder.cpp")), "-o", str(built)])
            built.replace(file)
    except OSError as error:
        raise KernelsMissing(f"they cannot be kept in {folder}: {error}") from None
    return file


def _run_compiler(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_SECONDS)
    except subprocess.TimeoutExpired:
        raise KernelsMissing(f"{command[0]} took over {COMPILE_SECONDS:.0f} s") from None
    if done.returncode:
        raise KernelsMissing(f"{command[0]} failed: {done.stderr.strip()[-400:]}")


def _fingerprint(compiler: str) -> str:
    """Names what decides the machine code: the sources, the flags, the compiler, the processor."""
    version = subprocess.run([compiler, "--version"], capture_output=True, timeout=60).stdout
    parts = [version, " ".join(FLAGS).encode(), _processor().encode()]
    parts += [_source(name).read_bytes() for name in SOURCES]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:20]


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""
    return "\n".join(
        sorted({line for line in text.splitlines() if line.startswith(("model name", "flags"))})
    )


def _source(name: str) -> Path:
    return Path(str(files(__package__ or "").joinpath(name)))


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    library.weft_packed_size.argtypes = (c_int64, c_int64)
    library.weft_packed_size.restype = c_int64
    library.weft_pack.argtypes = (c_void_p, c_int64, c_int64, c_int32, c_void_p)
    library.weft_pack.restype = None
    library.weft_has_integer_products.argtypes = ()
    library.weft_has_integer_products.restype = c_int32
    library.weft_trim.argtypes = ()
    library.weft_trim.restype = None
    library.weft_multiply.argtypes = (
        POINTER(Weight),
        c_void_p,
        c_int64,
        c_void_p,
        c_void_p,
        c_int64,
        c_int32,
        c_int32,
    )
    library.weft_multiply.restype = None
    library.weft_scratch_size.argtypes = (POINTER(Decoder), c_int64)
    library.weft_scratch_size.restype = c_int64
    library.weft_forward.argtypes = (POINTER(Decoder), POINTER(Batch), c_int32, c_int32)
    library.weft_forward.restype = None
    library.weft_attend.argtypes = (
        POINTER(Heads),
        POINTER(Paging),
        *(c_void_p,) * 7,
        c_int32,
        c_int32,
    )
    library.weft_attend.restype = None
    return library
