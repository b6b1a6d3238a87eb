"""Processes spoken to in lines of JSON: real ones, with a driver of three lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from weft.errors import PeerFailed
from weft.runtime.bench.driver import Driver

SCRIPT = """
import os, sys, time
print("noise on standard output")

def fail():
    raise ValueError("no such thing")

def end():
    print("last words", file=sys.stderr, flush=True)
    os._exit(3)

def open_driver(*arguments):
    return {
        "add": lambda left, right: left + right,
        "arguments": lambda: list(arguments),
        "end": end,
        "fail": fail,
        "print": lambda: print("more noise"),
        "sleep": lambda: time.sleep(60),
    }
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    script = tmp_path / "toy.py"
    script.write_text(SCRIPT, encoding="utf-8")
    with Driver(Path(sys.executable), str(script), peer="toy", arguments=["x"]) as started:
        yield started


def test_results_come_back_whatever_is_printed(driver: Driver) -> None:
    assert driver.call("print") is None
    assert driver.call("add", left=2, right=3) == 5
    assert driver.call("arguments") == ["x"]


def test_an_error_is_an_answer_and_the_process_goes_on(driver: Driver) -> None:
    with pytest.raises(PeerFailed, match="toy failed to fail: ValueError: no such thing") as caught:
        driver.call("fail")
    assert caught.value.peer == "toy"
    assert driver.call("add", left=1, right=1) == 2


def test_an_end_is_told_with_the_last_words(driver: Driver) -> None:
    with pytest.raises(PeerFailed, match="its process has ended.*last words"):
        driver.call("end")
    with pytest.raises(PeerFailed, match="its process has ended"):
        driver.call("add", left=1, right=1)


def test_silence_ends_in_time(driver: Driver) -> None:
    driver.call("print")
    with pytest.raises(PeerFailed, match="no answer within 0 s"):
        driver.call("sleep", timeout_s=0.05)
    driver.close()


def test_an_interpreter_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PeerFailed, match="did not start"):
        Driver(tmp_path / "python", "toy.py", peer="toy")
