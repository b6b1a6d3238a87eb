"""Runs that others on the host disturb are repeated."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from weft.runtime.bench.undisturbed import PAUSE_S, Measured, undisturbed


class Host:
    """Every run takes 10 s on four cores; others take so many seconds of it, run by run."""

    def __init__(self, *taken_s: float) -> None:
        self._next: Iterator[float] = iter(taken_s)
        self.now_s = self.taken_s = 0.0
        self.num_runs = 0

    def run(self) -> int:
        self.num_runs += 1
        self.now_s += 10.0
        self.taken_s += next(self._next)
        return self.num_runs

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def measured(self) -> Measured[int]:
        return undisturbed(
            self.run,
            sleep=self.sleep,
            now_s=lambda: self.now_s,
            taken_s=lambda: self.taken_s,
            num_cpus=4,
        )


@pytest.mark.parametrize(
    ("taken_s", "counts", "stolen"),
    [
        ([0.0], 1, 0.0),
        ([4.0], 1, 0.1),
        ([24.0, 2.0], 2, 0.05),
        ([24.0, 8.0, 12.0], 2, 0.2),
        ([24.0, 8.0, 3.0], 3, 0.075),
    ],
)
def test_the_first_quiet_run_counts_else_the_least_disturbed_of_three(
    taken_s: list[float], counts: int, stolen: float
) -> None:
    host = Host(*taken_s)
    measured = host.measured()
    assert measured.result == counts
    assert measured.stolen == pytest.approx(stolen)
    assert host.num_runs == len(taken_s)
    assert host.now_s == pytest.approx(10.0 * len(taken_s) + PAUSE_S * (len(taken_s) - 1))


def test_a_host_that_does_not_tell_is_taken_as_quiet() -> None:
    ran = undisturbed(lambda: "done", taken_s=lambda: 0.0, num_cpus=1)
    assert ran == Measured("done", 0.0)
