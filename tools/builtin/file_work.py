"""What is done with the files of a workspace, under caps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from typing import BinaryIO, NamedTuple

from weft.errors import InvalidRequest
from weft.tools.builtin.tree import Entry, WorkspaceTree

__all__ = [
    "MAX_CHANGE_BYTES",
    "Changed",
    "Listing",
    "Matches",
    "Passage",
    "find_lines",
    "list_entries",
    "read_lines",
    "replaced",
]

MAX_SCAN_BYTES = 16 << 20
"""Read of one file at most, and of all files in a search."""
MAX_CHANGE_BYTES = 1 << 20
"""Of a file that is changed in place."""
MAX_ENTRIES = 500
MAX_FILES = 10_000
MAX_MATCHES = 100
MAX_LINE_CHARS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Some lines of a file."""

    text: str
    first_line: int
    """Counted from 1."""
    num_lines: int
    is_end: bool
    """Nothing follows them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What is in a folder, one line each: a path, ``/`` behind folders, sizes behind files."""

    entries: tuple[str, ...]
    is_truncated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """Lines that hold a text, as ``path:line: text``."""

    lines: tuple[str, ...]
    is_truncated: bool
    """There may be more: a cap on matches, entries or bytes was reached."""


def read_lines(stream: BinaryIO, first_line: int, num_lines: int, max_chars: int) -> Passage:
    """Lines of a file, as far as they fit; reads no more than it must. Raises InvalidRequest."""
    if first_line < 1 or num_lines < 1:
        raise InvalidRequest(
            f"first_line is {first_line}, num_lines {num_lines}.", remedy="Both are at least 1."
        )
    skipped = 0
    for _ in range(first_line - 1):
        skipped += len(stream.readline(MAX_SCAN_BYTES))
        if skipped >= MAX_SCAN_BYTES:
            raise InvalidRequest(
                f"Line {first_line} lies behind the first {MAX_SCAN_BYTES} bytes.",
                remedy="Take it out with a command in the sandbox.",
            )
    lines: list[str] = []
    left = max_chars
    while len(lines) < num_lines and left > 0 and (line := stream.readline(left)):
        lines.append(line.decode(errors="replace"))
        left -= len(line)
    return Passage(
        text="".join(lines),
        first_line=first_line,
        num_lines=len(lines),
        is_end=not stream.read(1),
    )


def list_entries(tree: WorkspaceTree, path: str, pattern: str, is_deep: bool) -> Listing:
    """What is in a folder."""
    found = [
        _described(entry)
        for entry in islice(_matching(tree, path, pattern, is_deep), MAX_ENTRIES + 1)
    ]
    return Listing(entries=tuple(found[:MAX_ENTRIES]), is_truncated=len(found) > MAX_ENTRIES)


def find_lines(tree: WorkspaceTree, text: str, path: str, pattern: str) -> Matches:
    """Lines that hold a text. Raises InvalidRequest."""
    if not text:
        raise InvalidRequest("The text is empty.", remedy="Say what to find.")
    return _Search(tree, text.encode()).run(path, pattern)


def _matching(tree: WorkspaceTree, path: str, pattern: str, is_deep: bool) -> Iterator[Entry]:
    for entry in tree.walk(path, is_deep=is_deep):
        if fnmatchcase(entry.path.rpartition("/")[2], pattern):
            yield entry


def _described(entry: Entry) -> str:
    match entry.kind:
        case "folder":
            return f"{entry.path}/"
        case "file":
            return f"{entry.path} ({entry.size_bytes} bytes)"
        case _:
            return f"{entry.path} ({entry.kind})"


class _Search:
    """One search through many files, under caps that hold for all of them together."""

    def __init__(self, tree: WorkspaceTree, wanted: bytes) -> None:
        self._tree = tree
        self._wanted = wanted
        self._left_bytes = MAX_SCAN_BYTES
        self._lines: list[str] = []

    def run(self, path: str, pattern: str) -> Matches:
        files = (one for one in _matching(self._tree, path, pattern, True) if one.kind == "file")
        num_files = 0
        for entry in files:
            num_files += 1
            if self._is_full or num_files > MAX_FILES:
                return Matches(lines=tuple(self._lines), is_truncated=True)
            self._search(entry.path)
        return Matches(lines=tuple(self._lines), is_truncated=self._is_full)

    @property
    def _is_full(self) -> bool:
        return self._left_bytes <= 0 or len(self._lines) >= MAX_MATCHES

    def _search(self, path: str) -> None:
        try:
            with self._tree.open(path) as stream:
                self._search_lines(path, stream)
        except InvalidRequest:
            return  # it was there when the folder was listed, and is no longer

    def _search_lines(self, path: str, stream: BinaryIO) -> None:
        number = 0
        while not self._is_full and (line := stream.readline(self._left_bytes)):
            number += 1
            self._left_bytes -= len(line)
            if self._wanted in line:
                shown = line.decode(errors="replace").strip()[:MAX_LINE_CHARS]
                self._lines.append(f"{path}:{number}: {shown}")


class Changed(NamedTuple):
    """A file's content with a text replaced."""

    data: bytes
    num_found: int


def replaced(path: str, data: bytes, old: str, new: str, is_everywhere: bool) -> Changed:
    """Replace a text. Raises InvalidRequest where it is not there, or more often than wanted."""
    if len(data) > MAX_CHANGE_BYTES:
        raise InvalidRequest(
            f"{path!r} holds more than {MAX_CHANGE_BYTES} bytes.",
            remedy="Change it with a command in the sandbox.",
        )
    wanted = old.encode()
    num_found = data.count(wanted) if wanted else 0
    if num_found == 0:
        raise InvalidRequest(
            f"The old text is not in {path!r}.", remedy="Read the file and copy it exactly."
        )
    if num_found > 1 and not is_everywhere:
        raise InvalidRequest(
            f"The old text is {num_found} times in {path!r}.",
            remedy="Give more of what stands around it, or replace it everywhere.",
        )
    return Changed(data.replace(wanted, new.encode()), num_found)
