"""The tensors that a checkpoint's safetensors files say they hold, checked before any is read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from weft.errors import ModelLoadError

__all__ = ["StoredTensor", "list_tensors", "read_json", "safe_file"]

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
MAX_HEADER_BYTES = 100_000_000
DTYPE_BYTES = {"F32": 4, "BF16": 2, "F16": 2}
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """One tensor as its file's header declares it; its bytes are inside the file."""

    name: str
    file: Path
    dtype: str
    """``F32``, ``BF16`` or ``F16``."""
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def list_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Every tensor of the checkpoint by name.

    Raises: ModelLoadError for pickle weights, a file missing or outside the folder, a damaged
    header, a tensor cut short or of a dtype that is not a plain float.
    """
    tensors: dict[str, StoredTensor] = {}
    for file, wanted in _shard_files(folder).items():
        held = _read_header(file)
        for name in held if wanted is None else wanted:
            if name not in held:
                raise ModelLoadError(
                    f"Tensor {name!r} is not in {file.name!r}, where the index puts it.",
                    remedy="Download the checkpoint again.",
                )
            tensors[name] = held[name]
    return tensors


def safe_file(folder: Path, name: str) -> Path:
    """The file of that name directly in the folder.

    A link may lead elsewhere only inside a hub cache, whose snapshots link to its blobs.
    Raises: ModelLoadError when the name or the link leaves the folder, or nothing is there.
    """
    if name != Path(name).name or "\\" in name or name in ("", ".", ".."):
        raise ModelLoadError(
            f"The checkpoint names a file {name!r} outside its folder.",
            remedy="Do not use this checkpoint.",
        )
    file = (folder / name).resolve()
    if not file.is_relative_to(_root(folder)):
        raise ModelLoadError(
            f"File {name!r} of the checkpoint links outside its folder, to {str(file)!r}.",
            remedy="Copy the file into the folder.",
        )
    if not file.is_file():
        raise ModelLoadError(
            f"File {name!r} is missing in {str(folder)!r}.", remedy="Download it again."
        )
    return file


def read_json(file: Path) -> dict[str, object]:
    """Raises: ModelLoadError when the file is not one JSON object."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelLoadError(
            f"{file.name!r} is not JSON: {error}.", remedy="Download it again."
        ) from error
    if not isinstance(value, dict):
        raise ModelLoadError(
            f"{file.name!r} holds {type(value).__name__!r}, not an object.",
            remedy="Download it again.",
        )
    return cast(dict[str, object], value)


def _root(folder: Path) -> Path:
    folder = folder.resolve()
    repository = folder.parent.parent
    is_snapshot = folder.parent.name == "snapshots" and (repository / "blobs").is_dir()
    return repository if is_snapshot else folder


def _shard_files(folder: Path) -> dict[Path, list[str] | None]:
    """Files to read, each with the tensors wanted from it; None: all it has."""
    if (folder / INDEX).is_file():
        return _indexed_files(folder)
    if not (folder / SINGLE).exists():
        _refuse_pickles(folder)
    return {safe_file(folder, SINGLE): None}


def _indexed_files(folder: Path) -> dict[Path, list[str] | None]:
    weight_map = read_json(safe_file(folder, INDEX)).get("weight_map")
    if not isinstance(weight_map, dict):
        raise ModelLoadError(
            f"{INDEX!r} has no weight_map.", remedy="Download the checkpoint again."
        )
    files: dict[Path, list[str] | None] = {}
    for name, shard in cast(dict[str, object], weight_map).items():
        wanted = files.setdefault(safe_file(folder, str(shard)), [])
        assert wanted is not None
        wanted.append(name)
    return files


def _refuse_pickles(folder: Path) -> None:
    pickles = sorted(file.name for pattern in _PICKLES for file in folder.glob(pattern))
    if pickles:
        raise ModelLoadError(
            f"The checkpoint has only pickle weights, {pickles!r}, which can run code.",
            remedy="Convert them to safetensors.",
        )


def _read_header(file: Path) -> dict[str, StoredTensor]:
    file_bytes = file.stat().st_size
    with file.open("rb") as stream:
        header_bytes = int.from_bytes(stream.read(8), "little")
        if not 2 <= header_bytes <= min(MAX_HEADER_BYTES, file_bytes - 8):
            raise _damaged(file, f"its header claims {header_bytes} of {file_bytes} bytes")
        raw = stream.read(header_bytes)
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _damaged(file, "its header is not JSON") from error
    if not isinstance(header, dict):
        raise _damaged(file, "its header is not an object")
    entries = cast(dict[str, object], header)
    data_bytes = file_bytes - 8 - header_bytes
    return {
        name: _stored_tensor(file, name, entry, data_bytes)
        for name, entry in entries.items()
        if name != "__metadata__"
    }


def _stored_tensor(file: Path, name: str, entry: object, data_bytes: int) -> StoredTensor:
    try:
        fields = cast(Mapping[str, object], entry)
        dtype = str(fields["dtype"])
        shape = tuple(cast(list[int], fields["shape"]))
        start, stop = cast(list[int], fields["data_offsets"])
        size = math.prod(shape)
        is_sound = 0 <= start <= stop and all(length >= 0 for length in shape)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(file, f"tensor {name!r} is declared as {entry!r}") from error
    if dtype not in DTYPE_BYTES:
        raise ModelLoadError(
            f"Tensor {name!r} in {file.name!r} is stored as {dtype!r}.",
            remedy=f"Convert the weights to one of {sorted(DTYPE_BYTES)!r}.",
        )
    if not is_sound or stop - start != size * DTYPE_BYTES[dtype]:
        raise _damaged(file, f"tensor {name!r} of shape {shape!r} spans bytes {start} to {stop}")
    if stop > data_bytes:
        raise _damaged(file, f"tensor {name!r} ends at byte {stop} of {data_bytes}: cut short")
    return StoredTensor(name=name, file=file, dtype=dtype, shape=shape)


def _damaged(file: Path, how: str) -> ModelLoadError:
    return ModelLoadError(
        f"{file.name!r} is damaged: {how}.", remedy="Download the checkpoint again."
    )
