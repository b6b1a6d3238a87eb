"""Hub ids: the cache first, then a download, never anything but data files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from weft.errors import ModelLoadError
from weft.runtime.engine.model import resolve_source
from weft.runtime.engine.model import source as source_module


class FakeHub:
    """Stands for ``snapshot_download``: what the cache and the network would do."""

    def __init__(self, folder: Path, *, is_cached: bool, is_online: bool) -> None:
        self.folder = folder
        self.is_cached = is_cached
        self.is_online = is_online
        self.calls: list[dict[str, Any]] = []

    def __call__(self, repo_id: str, **options: Any) -> str:
        self.calls.append({"repo_id": repo_id, **options})
        if self.is_cached if options["local_files_only"] else self.is_online:
            return str(self.folder)
        raise LocalEntryNotFoundError("not there")


def install(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    monkeypatch.setattr(source_module, "snapshot_download", hub)
    return hub


def test_the_cache_is_asked_before_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = install(FakeHub(tmp_path, is_cached=True, is_online=False), monkeypatch)
    assert resolve_source("some/model") == tmp_path.resolve()
    assert [call["local_files_only"] for call in hub.calls] == [True]


def test_what_is_not_cached_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = install(FakeHub(tmp_path, is_cached=False, is_online=True), monkeypatch)
    assert resolve_source("some/model", revision="v2") == tmp_path.resolve()
    assert [call["local_files_only"] for call in hub.calls] == [True, False]
    assert all(call["revision"] == "v2" for call in hub.calls)


def test_no_code_and_no_pickle_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = install(FakeHub(tmp_path, is_cached=False, is_online=True), monkeypatch)
    resolve_source("some/model")
    names = ["modeling.py", "pytorch_model.bin", "model.pt", "config.json", "model.safetensors"]
    patterns = hub.calls[-1]["allow_patterns"]
    fetched = [name for name in names if any(Path(name).match(p) for p in patterns)]
    assert fetched == ["config.json", "model.safetensors"]


def test_an_unreachable_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(FakeHub(tmp_path, is_cached=False, is_online=False), monkeypatch)
    with pytest.raises(ModelLoadError, match="'some/model'"):
        resolve_source("some/model")
