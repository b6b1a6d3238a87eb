"""Files of a workspace that hostile code may have filled."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from weft.errors import ToolFailed
from weft.tools import ToolRegistry
from weft.tools.builtin import Listing, Matches, Passage, ToolboxOptions, open_toolbox

OPTIONS = ToolboxOptions(python="off", has_shell=False, max_chars=1000, max_workspace_bytes=1 << 20)


@pytest_asyncio.fixture
async def tools(workspace: Path) -> AsyncGenerator[ToolRegistry]:
    async with open_toolbox(workspace, OPTIONS) as opened:
        yield opened


async def call(tools: ToolRegistry, name: str, **arguments: Any) -> Any:
    tool = tools.get(name)
    result = await tool.invoke(arguments)
    assert tool.load(tool.dump(result)) == result
    return result


def test_effects_let_reads_run_side_by_side(tools: ToolRegistry) -> None:
    effects = {tool.name: tool.effect for tool in tools}
    assert effects == {
        "read_file": "read",
        "list_files": "read",
        "find_text": "read",
        "write_file": "write",
        "replace_text": "write",
        "calculator": "pure",
    }


async def test_written_files_can_be_read_in_parts(tools: ToolRegistry, workspace: Path) -> None:
    content = "".join(f"line {number}\n" for number in range(1, 31))
    told = await call(tools, "write_file", path="deep/er/notes.txt", content=content)
    assert told == f"Wrote deep/er/notes.txt, {len(content)} bytes."
    assert (workspace / "deep/er/notes.txt").read_text() == content
    part = await call(tools, "read_file", path="deep/er/notes.txt", first_line=29, num_lines=1)
    assert part == Passage(text="line 29\n", first_line=29, num_lines=1, is_end=False)
    rest = await call(tools, "read_file", path="deep/er/notes.txt", first_line=29)
    assert rest == Passage(text="line 29\nline 30\n", first_line=29, num_lines=2, is_end=True)
    behind = await call(tools, "read_file", path="deep/er/notes.txt", first_line=99)
    assert behind == Passage(text="", first_line=99, num_lines=0, is_end=True)
    again = await call(tools, "write_file", path="deep/er/notes.txt", content="é")
    assert again == "Replaced deep/er/notes.txt, 2 bytes."
    assert sorted(os.listdir(workspace / "deep/er")) == ["notes.txt"]


async def test_what_is_written_belongs_to_the_workspaces_owner(
    tools: ToolRegistry, workspace: Path
) -> None:
    if os.geteuid() == 0:
        os.chown(workspace, 61_234, 61_234)
    (workspace / "script").write_text("x")
    (workspace / "script").chmod(0o750)
    await call(tools, "write_file", path="script", content="y")
    await call(tools, "write_file", path="a/b", content="z")
    owner = workspace.stat().st_uid
    for name in ("script", "a", "a/b"):
        assert (workspace / name).stat().st_uid == owner
    assert (workspace / "script").stat().st_mode & 0o777 == 0o750


async def test_a_long_line_and_a_long_file_are_cut(tools: ToolRegistry, workspace: Path) -> None:
    (workspace / "long").write_text("x" * 5000 + "\n")
    part = await call(tools, "read_file", path="long")
    assert (len(part.text), part.num_lines, part.is_end) == (1000, 1, False)
    with (workspace / "sparse").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(ToolFailed, match="Line 5 lies behind"):
        await call(tools, "read_file", path="sparse", first_line=5)


async def test_listing_and_finding(tools: ToolRegistry, workspace: Path) -> None:
    for name, text in {"b.py": "x = 1\n", "a.txt": "y", "src/c.py": "a\nx = 2\n"}.items():
        (workspace / name).parent.mkdir(exist_ok=True)
        (workspace / name).write_text(text)
    listed = await call(tools, "list_files")
    assert listed == Listing(
        entries=("a.txt (1 bytes)", "b.py (6 bytes)", "src/"), is_truncated=False
    )
    deep = await call(tools, "list_files", pattern="*.py", is_deep=True)
    assert deep.entries == ("b.py (6 bytes)", "src/c.py (8 bytes)")
    assert (await call(tools, "list_files", path="src")).entries == ("src/c.py (8 bytes)",)
    found = await call(tools, "find_text", text="x = ")
    assert found == Matches(lines=("b.py:1: x = 1", "src/c.py:2: x = 2"), is_truncated=False)
    assert (await call(tools, "find_text", text="x", pattern="*.txt")).lines == ()
    assert (await call(tools, "find_text", text="x", path="src")).lines == ("src/c.py:2: x = 2",)


async def test_many_files_and_many_matches_are_cut_and_said_so(
    tools: ToolRegistry, workspace: Path
) -> None:
    for number in range(600):
        (workspace / f"{number:03}").write_text("match\n")
    listed = await call(tools, "list_files")
    assert (len(listed.entries), listed.is_truncated) == (500, True)
    found = await call(tools, "find_text", text="match")
    assert (len(found.lines), found.is_truncated) == (100, True)


async def test_replacing(tools: ToolRegistry, workspace: Path) -> None:
    (workspace / "f").write_text("one two two")
    told = await call(tools, "replace_text", path="f", old="one", new="1")
    assert told == "Replaced 1 in f."
    with pytest.raises(ToolFailed, match="2 times"):
        await call(tools, "replace_text", path="f", old="two", new="2")
    for missing in ("three", ""):
        with pytest.raises(ToolFailed, match="not in 'f'"):
            await call(tools, "replace_text", path="f", old=missing, new="3")
    await call(tools, "replace_text", path="f", old="two", new="2", is_everywhere=True)
    assert (workspace / "f").read_text() == "1 2 2"


ESCAPES = ["../secret", "/etc/passwd", "a/../../secret", "", ".", "link", "way/secret", "x\0y"]


@pytest.mark.parametrize("path", ESCAPES)
@pytest.mark.parametrize("name", ["read_file", "write_file", "replace_text", "list_files"])
async def test_nothing_leads_out(
    tools: ToolRegistry, workspace: Path, name: str, path: str
) -> None:
    secret = workspace.parent / "secret"
    secret.write_text("secret")
    (workspace / "link").symlink_to(secret)
    (workspace / "way").symlink_to(workspace.parent)
    more = {"write_file": {"content": "new"}, "replace_text": {"old": "secret", "new": "no"}}
    is_fine = (name, path) in {("list_files", "."), ("list_files", ""), ("write_file", "link")}
    if is_fine:
        shown = await call(tools, name, path=path, **more.get(name, {}))
        assert "secret" not in str(shown)
    else:
        with pytest.raises(ToolFailed) as refused:
            await call(tools, name, path=path, **more.get(name, {}))
        assert refused.value.tool == name
    assert secret.read_text() == "secret"
    assert sorted(os.listdir(workspace.parent)) == ["secret", "workspace"]


async def test_what_is_no_file_is_neither_opened_nor_waited_for(
    tools: ToolRegistry, workspace: Path
) -> None:
    os.mkfifo(workspace / "pipe")
    (workspace / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(workspace / "socket"))
        for name in ("pipe", "folder", "socket"):
            with pytest.raises(ToolFailed, match=name):
                await call(tools, "read_file", path=name)
        listed = await call(tools, "list_files")
    assert listed.entries == ("folder/", "pipe (special)", "socket (special)")
    assert (await call(tools, "find_text", text="x")).lines == ()
    with pytest.raises(ToolFailed, match="folder"):
        await call(tools, "write_file", path="folder", content="x")
    assert sorted(os.listdir(workspace)) == ["folder", "pipe", "socket"]


async def test_a_full_workspace_takes_no_more(tools: ToolRegistry, workspace: Path) -> None:
    (workspace / "old").write_bytes(b"x" * (1 << 20))
    with pytest.raises(ToolFailed, match="room for 0 bytes"):
        await call(tools, "write_file", path="new", content="x")
    with pytest.raises(ToolFailed, match="more than 1048576"):
        (workspace / "old").write_bytes(b"x" * (1 << 20) + b"y")
        await call(tools, "replace_text", path="old", old="y", new="z")
    (workspace / "old").write_text("x")
    await call(tools, "write_file", path="new", content="x")


async def test_names_that_are_no_text_can_be_listed(tools: ToolRegistry, workspace: Path) -> None:
    (workspace / os.fsdecode(b"\xff.txt")).write_text("x")
    assert (await call(tools, "list_files")).entries == ("?.txt (1 bytes)",)
