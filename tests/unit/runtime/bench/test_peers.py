"""Where peers are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.errors import InvalidRequest
from weft.runtime.bench.contender import Contender, engine_contenders
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.peers import find_peer


def environment(folder: Path) -> Path:
    """A folder that looks like a virtual environment; its interpreter."""
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    return python


def test_peer_is_found_where_make_peers_puts_it(tmp_path: Path) -> None:
    python = environment(tmp_path / "vllm")
    peer = find_peer("vllm", BenchOptions(peers_folder=tmp_path))
    assert peer is not None and peer.python == python and peer.url is None


def test_absent_peer_is_none(tmp_path: Path) -> None:
    assert find_peer("vllm", BenchOptions(peers_folder=tmp_path)) is None


def test_given_peer_goes_first(tmp_path: Path) -> None:
    environment(tmp_path / "vllm")
    python = environment(tmp_path / "mine")
    folder = BenchOptions(peers_folder=tmp_path, peers={"vllm": str(tmp_path / "mine")})
    server = BenchOptions(peers_folder=tmp_path, peers={"vllm": "http://127.0.0.1:8000/"})
    by_folder, by_url = find_peer("vllm", folder), find_peer("vllm", server)
    assert by_folder is not None and by_folder.python == python
    assert by_url is not None and by_url.url == "http://127.0.0.1:8000" and by_url.python is None


def test_given_folder_without_environment_is_refused(tmp_path: Path) -> None:
    options = BenchOptions(peers={"vllm": str(tmp_path)})
    with pytest.raises(InvalidRequest, match="virtual environment"):
        find_peer("vllm", options)


def test_missing_engine_is_named(tmp_path: Path) -> None:
    contenders, missing = engine_contenders(BenchOptions(peers_folder=tmp_path), has_gpu=False)
    assert {one.kind for one in contenders} == {"weft", "bound", "transformers"}
    assert len(missing) == 1 and missing[0].startswith("vllm: ") and "make peers" in missing[0]


def vllm(options: BenchOptions, *, has_gpu: bool) -> list[Contender]:
    found, _ = engine_contenders(options, has_gpu=has_gpu)
    return [one for one in found if one.kind == "vllm"]


def test_server_is_one_variant_and_environment_has_its_own_interpreter(tmp_path: Path) -> None:
    python = environment(tmp_path / "vllm")
    served = BenchOptions(peers={"vllm": "http://127.0.0.1:8000"})
    (server,) = vllm(served, has_gpu=False)
    assert server.name == "vllm" and server.arguments == ("http://127.0.0.1:8000",)
    installed = vllm(BenchOptions(peers_folder=tmp_path), has_gpu=False)
    assert {one.python for one in installed} == {python}
    assert "vllm-bfloat16" in {one.name for one in installed}


def test_on_a_gpu_continuous_batching_races_and_a_peer_for_processors_does_not(
    tmp_path: Path,
) -> None:
    environment(tmp_path / "vllm")
    found, missing = engine_contenders(BenchOptions(peers_folder=tmp_path), has_gpu=True)
    assert [one.name for one in found] == [
        "weft",
        "bound",
        "transformers-bfloat16",
        "transformers_cb-bfloat16",
    ]
    assert len(missing) == 1 and "--peer vllm=URL" in missing[0]
    served = BenchOptions(peers={"vllm": "http://127.0.0.1:8000"})
    assert len(vllm(served, has_gpu=True)) == 1
