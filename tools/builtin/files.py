"""Files of the workspace: read, written, listed, searched and changed by a model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from weft.errors import InvalidRequest
from weft.tools.builtin.file_work import (
    MAX_CHANGE_BYTES,
    Listing,
    Matches,
    Passage,
    find_lines,
    list_entries,
    read_lines,
    replaced,
)
from weft.tools.builtin.place import Place, in_name_of
from weft.tools.builtin.tree import WorkspaceTree
from weft.tools.tool import Tool, as_tool

__all__ = ["files_tools"]

T = TypeVar("T")


def files_tools(place: Place) -> tuple[Tool[..., Any], ...]:
    """The tools read_file, list_files, find_text, write_file and replace_text over one place."""
    return (
        _read_file(place),
        _list_files(place),
        _find_text(place),
        _write_file(place),
        _replace_text(place),
    )


def _read_file(place: Place) -> Tool[..., Passage]:
    async def read_file(path: str, first_line: int = 1, num_lines: int = 200) -> Passage:
        """Read lines of a text file in the workspace.

        Args:
            path: The file, from the workspace on.
            first_line: The first line to read, counted from 1.
            num_lines: How many lines to read.
        """

        def work(tree: WorkspaceTree) -> Passage:
            with tree.open(path) as stream:
                return read_lines(stream, first_line, num_lines, place.max_chars)

        return await _beneath("read_file", place, work)

    return as_tool(read_file, effect="read")


def _list_files(place: Place) -> Tool[..., Listing]:
    async def list_files(path: str = ".", pattern: str = "*", is_deep: bool = False) -> Listing:
        """List what is in a folder of the workspace.

        Args:
            path: The folder, from the workspace on.
            pattern: Which names to show, such as "*.py".
            is_deep: Whether to show what is in the folders below, too.
        """

        def work(tree: WorkspaceTree) -> Listing:
            return list_entries(tree, path, pattern, is_deep)

        return await _beneath("list_files", place, work)

    return as_tool(list_files, effect="read")


def _find_text(place: Place) -> Tool[..., Matches]:
    async def find_text(text: str, path: str = ".", pattern: str = "*") -> Matches:
        """Find the lines that hold a text, in all files of a folder of the workspace.

        Args:
            text: What to find, letter by letter.
            path: The folder to search with all below it, from the workspace on.
            pattern: Names of the files to search, such as "*.py".
        """

        def work(tree: WorkspaceTree) -> Matches:
            return find_lines(tree, text, path, pattern)

        return await _beneath("find_text", place, work)

    return as_tool(find_text, effect="read")


def _write_file(place: Place) -> Tool[..., str]:
    async def write_file(path: str, content: str) -> str:
        """Write a whole text file in the workspace; what was there before is replaced.

        Args:
            path: The file, from the workspace on; folders on the way are made.
            content: All that the file shall hold.
        """

        data = content.encode()
        with in_name_of("write_file"):
            room = await place.num_left_bytes()

        def work(tree: WorkspaceTree) -> str:
            _check_room(len(data), room)
            return f"{'Wrote' if tree.write(path, data) else 'Replaced'} {path}, {len(data)} bytes."

        return await _beneath("write_file", place, work)

    return as_tool(write_file, effect="write")


def _replace_text(place: Place) -> Tool[..., str]:
    async def replace_text(path: str, old: str, new: str, is_everywhere: bool = False) -> str:
        """Replace a text in a file of the workspace. It must be there exactly once, unless it is
        to be replaced everywhere.

        Args:
            path: The file, from the workspace on.
            old: What to replace, letter by letter, with enough around it to be found once.
            new: What to put in its place.
            is_everywhere: Whether to replace all that is found.
        """

        with in_name_of("replace_text"):
            room = await place.num_left_bytes()

        def work(tree: WorkspaceTree) -> str:
            with tree.open(path) as stream:
                data = stream.read(MAX_CHANGE_BYTES + 1)
            changed = replaced(path, data, old, new, is_everywhere)
            _check_room(len(changed.data) - len(data), room)
            tree.write(path, changed.data)
            return f"Replaced {changed.num_found} in {path}."

        return await _beneath("replace_text", place, work)

    return as_tool(replace_text, effect="write")


async def _beneath(tool: str, place: Place, work: Callable[[WorkspaceTree], T]) -> T:
    """Do bounded work on the workspace in a thread. Raises ToolError in the tool's name."""
    with in_name_of(tool):
        ground = await place.ground
        return await asyncio.to_thread(work, WorkspaceTree(ground.path))


def _check_room(more_bytes: int, left_bytes: int) -> None:
    if more_bytes > max(0, left_bytes):
        raise InvalidRequest(
            f"The workspace has room for {max(0, left_bytes)} bytes, not for {more_bytes}.",
            remedy="Delete what is not needed.",
        )
