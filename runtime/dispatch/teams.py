"""Teams of lanes: each asks for all its room at once."""

from __future__ import annotations

import asyncio

from weft.programs.request import Request
from weft.runtime.dispatch.book import Book, OpenCall

__all__ = ["Teams"]


class Teams:
    """A team is one call, from its first lane's Request until it is cancelled or its Run ends:
    lanes that waited for each other's room would wait for ever."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._calls: dict[str, OpenCall] = {}

    async def replica_of(self, request: Request) -> str:
        """Where the lane's team is, once it is dispatched."""
        assert request.lane is not None
        team_id = request.lane.team.team_id
        if team_id not in self._calls:
            self._calls[team_id] = self._book.ask(request)
        call = self._calls[team_id]
        # Others wait for the same: who is cancelled must not cancel it.
        replica = await asyncio.shield(call.replica)
        if not call.is_dispatched:
            self._book.dispatched(call)
        return replica

    def disband(self, team_id: str) -> None:
        """Its lanes are ended, and its room is free. Unknown ones are ignored."""
        call = self._calls.pop(team_id, None)
        if call is None:
            return
        call.replica.cancel()
        if call.is_dispatched:
            self._book.answered(call)
        else:
            self._book.cancelled(call)

    def forget(self, run_id: str) -> None:
        """A Run has ended; the scheduler knows that by itself."""
        ended = [name for name, call in self._calls.items() if call.of(run_id)]
        for name in ended:
            self._calls.pop(name).replica.cancel()
