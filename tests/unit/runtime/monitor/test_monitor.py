"""Monitors with real sockets: who may watch, and what happens to watchers that misbehave."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest

from weft.errors import EngineOverloaded, InvalidRequest, UnsupportedFeature
from weft.programs import gen, program
from weft.runtime.dispatch import ScheduledEngine, Snapshot
from weft.runtime.executor import Run
from weft.runtime.monitor import Monitor, MonitorAddress, find_monitors, watch
from weft.runtime.monitor import server as server_module
from weft.runtime.testing import Reply, ScriptedEngine, Sequencer, settle


@program
async def ask(text: str) -> str:
    return await gen(text, is_raw=True, max_tokens=8)


def engine() -> ScheduledEngine:
    """Nobody is ever answered."""
    never = Sequencer()
    return ScheduledEngine(
        ScriptedEngine(lambda one: Reply(wait=lambda: never.wait(one.text)), max_running=1)
    )


@pytest.fixture
async def monitor(tmp_path: Path) -> AsyncGenerator[Monitor]:
    async with Monitor(engine(), folder=tmp_path / "weft", fresh_s=0.0) as opened:
        yield opened
    assert opened.num_watchers == 0 and not opened.path.exists()


def address(monitor: Monitor) -> MonitorAddress:
    return MonitorAddress(os.getpid(), monitor.path)


class Watcher:
    """A connection that does what it is told."""

    def __init__(self, monitor: Monitor) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(os.fspath(monitor.path))
        self._socket.setblocking(False)
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *about: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    async def line(self) -> bytes:
        """The next, with its end; empty when the other side has closed."""
        loop = asyncio.get_running_loop()
        while b"\n" not in self._unread:
            try:
                more = await loop.sock_recv(self._socket, 1 << 16)
            except ConnectionResetError:
                more = b""
            if not more:
                return b""
            self._unread += more
        line, self._unread = self._unread.split(b"\n", 1)
        return line + b"\n"

    async def read(self) -> Snapshot:
        return Snapshot.from_json(await self.line())

    def half_close(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)


async def until(monitor: Monitor, num_watchers: int) -> None:
    async with asyncio.timeout(5):
        while monitor.num_watchers != num_watchers:
            await asyncio.sleep(0.001)


async def test_only_its_user_can_open_it_and_it_is_named_by_process(monitor: Monitor) -> None:
    assert stat.S_IMODE(monitor.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(monitor.path.parent.stat().st_mode) == 0o700
    found = await asyncio.to_thread(find_monitors, monitor.path.parent)
    assert found == (address(monitor),)


async def test_one_request_one_snapshot(tmp_path: Path) -> None:
    scheduled = engine()
    async with Monitor(scheduled, folder=tmp_path / "weft") as monitor:
        runs = [await Run.start(ask, name, engine=scheduled, run_id=name) for name in "ab"]
        await settle()
        [seen] = await asyncio.to_thread(lambda: list(watch(address(monitor))))
        assert [(one.run_id, one.phase) for one in seen.programs] == [
            ("a", "generating"),
            ("b", "waiting"),
        ]
        assert seen.pid == os.getpid()
        for run in runs:
            await run.cancel()


async def test_two_watchers_each_at_their_own_pace(monitor: Monitor) -> None:
    with Watcher(monitor) as one:
        with Watcher(monitor) as other:
            one.send(b'{"every_s": 0.1}\n')
            other.send(b"{}\n{}\n")
            assert [(await one.read()).num_programs for _ in range(2)] == [0, 0]
            assert [(await other.read()).num_programs for _ in range(2)] == [0, 0]
            other.send(b"{}\n")
            await other.read()
        await until(monitor, 1)
        await one.read()
    await until(monitor, 0)


async def test_a_new_request_takes_the_place_of_the_one_before(monitor: Monitor) -> None:
    with Watcher(monitor) as watcher:
        watcher.send(b'{"every_s": 0.1}\n{}\n')
        await watcher.read()
        await watcher.read()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(watcher.read(), 0.15)


async def test_who_has_no_more_to_say_is_still_answered(monitor: Monitor) -> None:
    with Watcher(monitor) as once, Watcher(monitor) as often:
        once.send(b"{}\n")
        often.send(b'{"every_s": 0.1}\n')
        for watcher in (once, often):
            watcher.half_close()
            await watcher.read()
        assert await once.line() == b""
        await often.read()


async def test_who_asks_at_about_the_same_time_gets_the_same_snapshot(tmp_path: Path) -> None:
    async with Monitor(engine(), folder=tmp_path / "weft", fresh_s=60.0) as monitor:
        seen: list[Snapshot] = []
        for _ in range(2):
            with Watcher(monitor) as watcher:
                watcher.send(b"{}\n")
                seen.append(await watcher.read())
        assert seen[0] == seen[1]


async def test_the_longer_a_look_takes_the_longer_it_is_good_for(
    monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "IDLE_SHARE", 0)
    with Watcher(monitor) as watcher:
        watcher.send(b"{}\n{}\n")
        first, second = await watcher.read(), await watcher.read()
        assert first.open_s < second.open_s
        monkeypatch.setattr(server_module, "IDLE_SHARE", 1_000_000)
        watcher.send(b"{}\n{}\n{}\n")
        third, *others = [await watcher.read() for _ in range(3)]
        assert others == [third, third] and third.open_s > second.open_s


async def test_who_never_reads_is_dropped_and_others_go_on(
    monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MAX_LATE_BYTES", 1000)
    with Watcher(monitor) as deaf, Watcher(monitor) as other:
        await until(monitor, 2)
        for _ in range(100):
            deaf.send(b"{}\n" * 100)
            await asyncio.sleep(0)
            if monitor.num_watchers == 1:
                break
        await until(monitor, 1)
        other.send(b"{}\n")
        assert (await other.read()).num_programs == 0


@pytest.mark.parametrize(
    ("request_line", "said"),
    [
        (b"\n", "Ask {}"),
        (b"nonsense\n", "Ask {}"),
        (b"[1]\n", "Ask {}"),
        (b'{"every_s": true}\n', "Ask {}"),
        (b'{"every_s": 1, "more": 2}\n', "Ask {}"),
        (b'{"every_s": 0.01}\n', "every_s is 0.01"),
        (b'{"every_s": NaN}\n', "every_s is nan"),
        (b'{"every_s": 1e9}\n', "every_s is 1000000000.0"),
        (b"[" * 1024 + b"\n", "Ask {}"),
        (b"{" * 2000, "longer than 1024 bytes"),
        (b" " * 2000 + b"\n", "longer than 1024 bytes"),
        (b"\xff\xfe\n", "Ask {}"),
    ],
)
async def test_what_cannot_be_served_is_refused_and_dropped(
    monitor: Monitor, request_line: bytes, said: str
) -> None:
    with Watcher(monitor) as watcher:
        watcher.send(request_line)
        assert said in json.loads(await watcher.line())["error"]
        assert await watcher.line() == b""
    assert monitor.num_watchers == 0


async def seen_once(monitor: Monitor) -> list[Snapshot]:
    return await asyncio.to_thread(lambda: list(watch(address(monitor))))


async def test_there_is_a_limit_to_watchers(monitor: Monitor) -> None:
    with ExitStack() as stack:
        watchers = [
            stack.enter_context(Watcher(monitor)) for _ in range(server_module.MAX_WATCHERS)
        ]
        await until(monitor, len(watchers))
        with pytest.raises(InvalidRequest, match="watchers already"):
            await seen_once(monitor)
        stack.pop_all().close()
    await until(monitor, 0)
    assert len(await seen_once(monitor)) == 1


async def test_one_monitor_for_each_process_and_leftovers_are_taken_over(tmp_path: Path) -> None:
    folder = tmp_path / "weft"
    async with Monitor(engine(), folder=folder) as first:
        with pytest.raises(InvalidRequest, match="has a monitor already"):
            await Monitor(engine(), folder=folder).__aenter__()
        assert first.path.exists()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(os.fspath(first.path))
    async with Monitor(engine(), folder=folder) as second:
        assert len(await seen_once(second)) == 1


async def test_a_folder_that_is_not_safe_or_too_deep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)
    with pytest.raises(InvalidRequest, match="open to others"):
        await Monitor(engine(), folder=tmp_path / "open").__aenter__()
    with pytest.raises(InvalidRequest, match="No monitor can listen"):
        await Monitor(engine(), folder=tmp_path / ("x" * 120)).__aenter__()


async def test_cancelled_it_is_gone_with_its_watchers(tmp_path: Path) -> None:
    monitor, entered = Monitor(engine(), folder=tmp_path / "weft"), asyncio.Event()

    async def serve() -> None:
        async with monitor:
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(serve())
    await entered.wait()
    with Watcher(monitor) as watcher:
        watcher.send(b'{"every_s": 3600}\n')
        await watcher.read()
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        assert not monitor.path.exists() and monitor.num_watchers == 0
        assert await watcher.line() == b""


async def test_cancelled_while_it_opens_it_leaves_nothing(tmp_path: Path) -> None:
    monitor = Monitor(engine(), folder=tmp_path / "weft")
    task = asyncio.create_task(monitor.__aenter__())
    await asyncio.sleep(0)
    assert monitor.path.exists() and not task.done()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert not monitor.path.exists()


async def test_a_watch_ends_with_the_monitor(tmp_path: Path) -> None:
    async with Monitor(engine(), folder=tmp_path / "weft") as monitor:
        watching = watch(address(monitor), 0.1)
        assert isinstance(await asyncio.to_thread(next, watching), Snapshot)
    assert await asyncio.to_thread(lambda: list(watching)) == []
    with pytest.raises(InvalidRequest, match="has no monitor"):
        next(watch(address(monitor)))


def listening(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.fspath(path))
    listener.listen()
    return listener


def test_a_process_that_does_not_answer_is_waited_for_so_long_only(tmp_path: Path) -> None:
    with listening(tmp_path / "1.sock"):
        with pytest.raises(EngineOverloaded, match="Process 1 does not answer"):
            next(watch(MonitorAddress(1, tmp_path / "1.sock"), answer_s=0.05))


async def test_words_of_another_version_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "1.sock"
    with listening(path) as listener:
        watching = asyncio.create_task(
            asyncio.to_thread(lambda: list(watch(MonitorAddress(1, path))))
        )
        connection, _ = await asyncio.to_thread(listener.accept)
        with connection:
            connection.sendall(b'{"programs": "a lot"}\n')
            with pytest.raises(UnsupportedFeature, match="no snapshot"):
                await watching
