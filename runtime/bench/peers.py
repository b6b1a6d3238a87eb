"""Finding the systems weft is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from weft.errors import InvalidRequest
from weft.runtime.bench.options import BenchOptions

__all__ = ["Peer", "find_peer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Where a peer is: exactly one of the two is given."""

    kind: str
    python: Path | None = None
    """The interpreter of its own environment."""
    url: str | None = None
    """A running server."""


def find_peer(kind: str, options: BenchOptions) -> Peer | None:
    """The peer as ``--peer`` says, else as ``make peers`` installed it; ``None`` when neither.

    Raises InvalidRequest when ``--peer`` names a folder without an environment.
    """
    place = options.peers.get(kind)
    if place is None:
        python = _python_in(options.peers_folder / kind)
        return Peer(kind=kind, python=python) if python.exists() else None
    if place.startswith(("http://", "https://")):
        return Peer(kind=kind, url=place.rstrip("/"))
    python = _python_in(Path(place))
    if not python.exists():
        raise InvalidRequest(
            f"The peer {kind}={place!r} has no {python}.",
            remedy="Give an http URL, or the folder of a virtual environment.",
        )
    return Peer(kind=kind, python=python)


def _python_in(folder: Path) -> Path:
    # Not resolved: the link inside the environment is what makes it that environment.
    return folder.absolute() / "bin" / "python"
