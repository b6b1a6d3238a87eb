"""Stores by URL, as the command line knows them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from weft.errors import CallerError
from weft.runtime.journal.sqlite import SqliteStore
from weft.runtime.journal.store import Store

__all__ = ["opened_store"]

SQLITE = "sqlite:///"


@asynccontextmanager
async def opened_store(url: str, *, must_exist: bool = False) -> AsyncGenerator[Store]:
    """The store at a path or ``sqlite:///path``, closed on the way out.

    Raises CallerError for another kind of URL, or when ``must_exist`` and no file is there;
    JournalError when the file cannot be used.
    """
    if "://" in url and not url.startswith(SQLITE):
        raise CallerError(
            f"There is no store for {url!r}.", remedy="Give a file, or sqlite:///file.db."
        )
    path = Path(url.removeprefix(SQLITE))
    if must_exist and not path.is_file():
        raise CallerError(
            f"There is no store at {str(path)!r}.",
            remedy="Give the --store that the runs were recorded with.",
        )
    store = SqliteStore(path)
    try:
        yield store
    finally:
        await store.aclose()
