"""Programs in files: ``FILE[:program]`` resolved to a Program object."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, TypeVar

from weft.errors import CallerError
from weft.runtime.cli.problem import closest

__all__ = ["ProgramRef", "choose_program", "load_module", "parse_ref"]

T = TypeVar("T")


class ProgramRef(NamedTuple):
    """A file, and the program wanted from it; ``None`` is its only one."""

    path: Path
    program: str | None


def parse_ref(text: str) -> ProgramRef:
    """``FILE`` or ``FILE:program``. Raises CallerError when there is no such Python file."""
    if Path(text).is_file():
        return _checked(ProgramRef(Path(text), None))
    file, colon, name = text.rpartition(":")
    if not colon:
        return _checked(ProgramRef(Path(text), None))
    return _checked(ProgramRef(Path(file), name))


def load_module(path: Path) -> ModuleType:
    """Import a file under a name of its own, with its folder importable meanwhile.

    The name depends on the path alone, so that a Run of the same file is the same program later.
    Raises CallerError, chained to whatever stopped the import.
    """
    path = path.resolve()
    digest = hashlib.blake2b(str(path).encode(), digest_size=4).hexdigest()
    name = f"weft_file_{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pydantic look their module up while its classes are being made.
    sys.modules[name] = module
    try:
        with _importable(path.parent):
            spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise CallerError(
            f"{path.name} cannot be imported: {type(error).__name__}: {error}{_line(error, path)}",
            remedy="Correct the file; --debug shows the whole traceback.",
        ) from error
    return module


def choose_program(programs: Mapping[str, T], wanted: str | None, *, file: str) -> T:
    """The program called ``wanted``; without it the only one, or the one named like the file.

    Raises CallerError, naming what is there.
    """
    if not programs:
        raise CallerError(f"{file} defines no program.", remedy="Decorate one with @program.")
    if wanted is not None:
        if wanted not in programs:
            remedy = closest(wanted, programs)
            raise CallerError(f"{file} has no program {wanted!r}.", remedy=remedy)
        return programs[wanted]
    if Path(file).stem in programs:
        return programs[Path(file).stem]
    if len(programs) > 1:
        names = " or ".join(f"{file}:{name}" for name in programs)
        raise CallerError(f"{file} has {len(programs)} programs.", remedy=f"Name one: {names}.")
    return next(iter(programs.values()))


def _checked(ref: ProgramRef) -> ProgramRef:
    if not ref.path.is_file():
        folder = ref.path.parent
        near = [entry.name for entry in folder.glob("*.py")] if folder.is_dir() else []
        what = "a folder" if ref.path.is_dir() else "not there"
        raise CallerError(f"{str(ref.path)!r} is {what}.", remedy=closest(ref.path.name, near))
    if ref.path.suffix != ".py":
        raise CallerError(f"{str(ref.path)!r} is no Python file.", remedy="Give a .py file.")
    return ref


def _line(error: Exception, path: Path) -> str:
    """Where in the file an import stopped."""
    if isinstance(error, SyntaxError):
        return ""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(path)
    ]
    return f" (line {lines[-1]})" if lines else ""


@contextmanager
def _importable(folder: Path) -> Generator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
