"""What a figure was measured on."""

from __future__ import annotations

from pathlib import Path

from weft.runtime.bench.provenance import commit_of, describe_machine

OLD = "model name\t: Abacus 1\nflags\t\t: fpu avx512f avx512_vnni\n"


def test_machine_names_processor_and_versions() -> None:
    machine = describe_machine(OLD)
    assert machine["cpu"] == "Abacus 1"
    assert machine["gpu"]
    assert machine["has_native_bf16"] == 0
    assert isinstance(machine["num_cores"], int) and machine["num_cores"] >= 1
    assert machine["python"]


def test_no_commit_outside_a_checkout(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == ""
    assert commit_of(tmp_path / "missing") == ""
