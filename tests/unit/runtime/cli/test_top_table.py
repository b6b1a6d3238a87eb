from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from weft.runtime.cli.top_table import brief, duration, screenful
from weft.runtime.dispatch import (
    DecisionCounts,
    ProgramSnapshot,
    ReplicaSnapshot,
    Snapshot,
    ToolSnapshot,
)

ACTING = ProgramSnapshot(
    run_id="a1b2c3d4e5",
    path="shop:analyst",
    tenant="shop",
    phase="acting",
    phase_s=3.5,
    replica="0",
    kv_tokens=4000,
    demoted_tokens=0,
    num_waiting=0,
    num_running=0,
    num_tools=3,
    tools=(
        ToolSnapshot(tool="sql", num_running=2, longest_s=3.5),
        ToolSnapshot(tool="ask", num_running=1, longest_s=0.5),
    ),
    steps_done=2,
    steps_left=4,
    deadline_left_s=-75.0,
    attained_s=12.0,
)
WAITING = replace(
    ACTING,
    run_id="ffff0000",
    path="",
    phase="waiting",
    num_waiting=1,
    num_tools=0,
    tools=(),
    kv_tokens=0,
    replica=None,
    deadline_left_s=None,
    steps_left=None,
)
REPLICA = ReplicaSnapshot(
    replica="0",
    used_tokens=6300,
    capacity_tokens=10000,
    spilled_tokens=0,
    spill_capacity_tokens=0,
    num_running=3,
    max_running=8,
)
SNAPSHOT = Snapshot(
    pid=123,
    engine="mini",
    policy="weft",
    open_s=75.0,
    programs=(WAITING, ACTING),
    num_left_out=0,
    num_by_phase={"generating": 0, "waiting": 1, "paused": 0, "acting": 1, "new": 0},
    replicas=(REPLICA,),
    num_waiting=1,
    oldest_wait_s=1.25,
    decisions=DecisionCounts(num_evictions=3, num_pauses=1),
    hit_rate=0.74,
    tokens_per_s=812.3,
    num_generated_tokens=5000,
    num_preemptions=2,
)


def shown(
    snapshot: Snapshot, *, width: int = 120, height: int = 30, encoding: str = "utf-8"
) -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(record=True, width=width, height=height, file=file, force_terminal=False)
    console.print(screenful(snapshot, console))
    return [line.rstrip() for line in console.export_text().splitlines()]


def words(line: str) -> list[str]:
    return line.split()


def test_totals_replicas_and_programs() -> None:
    lines = shown(SNAPSHOT)
    assert lines[:5] == [
        "weft top  mini  process 123, policy weft, 1m15s",
        "2 programs: 1 waiting, 1 acting; queue 1, oldest 1.2s",
        "812 tok/s, 5000 generated, KV hit rate 74%; 3 evicted, 1 paused, 2 preempted",
        "KV 0 ███████████████░░░░░░░░░ 63% of 10000 tok, 3/8 running",
        "",
    ]
    assert words(lines[5]) == (
        "RUN PROGRAM TENANT PHASE FOR KV DEMOTED ON CALLS STEPS SERVED LEFT TOOLS".split()
    )
    assert words(lines[6]) == "ffff0000 (request) shop waiting 3.5s 0 0 0/1 2 12s".split()
    assert words(lines[7]) == (
        "a1b2c3d4 analyst shop acting 3.5s 4000 0 0 0/0 2+4 12s -1m15s sql*2 3.5s, ask 0.5s".split()
    )


def test_demoted_kv_has_its_own_room() -> None:
    spilling = replace(REPLICA, spilled_tokens=500, spill_capacity_tokens=2000, used_tokens=11000)
    line = shown(replace(SNAPSHOT, replicas=(spilling,)))[3]
    assert line == (
        "KV 0 " + "█" * 24 + " 110% of 10000 tok, 3/8 running, demoted 500 tok (25% of room)"
    )


def test_a_narrow_terminal_gets_fewer_columns_and_no_longer_lines() -> None:
    lines = shown(SNAPSHOT, width=60)
    assert words(lines[5]) == "RUN PROGRAM PHASE FOR KV TOOLS".split()
    assert max(map(len, lines)) <= 60


def test_it_fits_the_terminal_and_counts_what_it_hides() -> None:
    many = tuple(replace(ACTING, run_id=f"{number:08}") for number in range(50))
    lines = shown(replace(SNAPSHOT, programs=many, num_left_out=950), height=20)
    assert len(lines) < 20
    assert lines[-1] == f"{1000 - (len(lines) - 7)} more"


def test_hostile_names_cannot_steer_the_terminal() -> None:
    evil = "[red]\x1b[2J\n\r\u202e"
    tools = (ToolSnapshot(tool=evil, num_running=1, longest_s=1.0),)
    row = replace(ACTING, run_id=evil, path=evil, tenant=evil, replica=evil, tools=tools)
    replicas = (replace(REPLICA, replica=evil),)
    hostile = replace(SNAPSHOT, engine=evil, policy=evil, programs=(row,), replicas=replicas)
    lines = shown(hostile, width=300)
    assert len(lines) == 7
    assert all(line.isprintable() for line in [*lines, brief(hostile)])


def test_a_terminal_without_unicode_gets_ascii_bars() -> None:
    for width in (120, 50):
        lines = shown(SNAPSHOT, encoding="ascii", width=width)
        assert "KV 0 ###############......... 63%" in lines[3]
        assert all(line.isascii() for line in lines)


def test_nothing_open_is_said_without_a_table() -> None:
    lines = shown(replace(SNAPSHOT, programs=(), num_by_phase={}, num_waiting=0))
    assert lines[1] == "0 programs; no queue"
    assert len(lines) == 4


def test_one_line_for_logs() -> None:
    assert brief(SNAPSHOT) == (
        "    75.0s  2 programs: 1 waiting, 1 acting; KV 0 63%; queue 1, oldest 1.2s; "
        "74% cached, 812 tok/s; 3 evicted, 1 paused, 2 preempted"
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "0.0s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.6, "1m00s"),
        (3599.0, "59m59s"),
        (3599.6, "1h00m"),
        (90000.0, "25h00m"),
        (-3.0, "-3.0s"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said
