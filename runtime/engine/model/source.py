"""Where a checkpoint lies: a local folder, the bundled model, or a hub repository."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from huggingface_hub import snapshot_download  # pyright: ignore[reportUnknownVariableType]
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from weft.errors import ModelLoadError

__all__ = ["MINI", "resolve_source"]

MINI = "mini"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WANTED_FILES = ("*.json", "*.jinja", "*.safetensors", "*.model", "*.txt")


def resolve_source(source: str | Path, *, revision: str | None = None) -> Path:
    """The folder of a checkpoint: ``mini``, a path, or a hub id such as ``Qwen/Qwen3-0.6B``.

    A hub id is looked up in the local hub cache first and downloaded when it is not there
    (blocks for as long as that takes); only data files are fetched. Raises: ModelLoadError.
    """
    if source == MINI:
        return _bundled()
    folder = Path(source)
    if folder.is_dir():
        return folder.resolve()
    if folder.exists():
        raise ModelLoadError(
            f"Model {str(source)!r} is a file.", remedy="Give the folder that holds config.json."
        )
    if _HUB_ID.fullmatch(str(source)) is None:
        raise ModelLoadError(
            f"Model {str(source)!r} is neither a folder nor a hub id.",
            remedy="Give a folder, a hub id such as 'Qwen/Qwen3-0.6B', or 'mini'.",
        )
    return _from_hub(str(source), revision)


def _bundled() -> Path:
    folder = Path(str(files("weft.runtime"))) / "assets" / MINI
    if not folder.is_dir():
        raise ModelLoadError(
            "The bundled model 'mini' is not part of this installation.",
            remedy="Train it with examples/mini, or give another model.",
        )
    return folder.resolve()


def _from_hub(repo_id: str, revision: str | None) -> Path:
    try:
        return _snapshot(repo_id, revision, is_offline=True)
    except LocalEntryNotFoundError:
        pass
    try:
        return _snapshot(repo_id, revision, is_offline=False)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ModelLoadError(
            f"Model {repo_id!r} could not be fetched from the hub: {error}",
            remedy="Check the id, the revision and the network, or give a local folder.",
        ) from error


def _snapshot(repo_id: str, revision: str | None, *, is_offline: bool) -> Path:
    folder = snapshot_download(  # pyright: ignore[reportUnknownVariableType]
        repo_id,
        revision=revision,
        allow_patterns=list(_WANTED_FILES),
        local_files_only=is_offline,
    )
    return Path(folder).resolve()
