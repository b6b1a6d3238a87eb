"""A chat that grows without changing: every turn makes a new one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, Unpack, overload

from typing_extensions import TypeForm

from weft.programs.candidates import Candidates
from weft.programs.generate import GenOptions, order_gen
from weft.programs.handle import Step
from weft.programs.message import Message, Role
from weft.programs.patterns import Ebnf, JsonSchema, Regex
from weft.programs.prompt import Turn

__all__ = ["Chat", "chat"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """Turns so far. Immutable: two chats that grow from one share its KV by construction.

    Parts of a turn may be un-awaited Steps, which become data edges of the generation.
    """

    turns: tuple[Turn | Message, ...] = ()

    def system(self, *parts: object) -> Chat:
        return self._with("system", parts)

    def user(self, *parts: object) -> Chat:
        return self._with("user", parts)

    def assistant(self, *parts: object) -> Chat:
        return self._with("assistant", parts)

    def tool(self, *parts: object) -> Chat:
        """What a tool answered."""
        return self._with("tool", parts)

    def message(self, message: Message) -> Chat:
        """A whole message, for instance an assistant's with tool calls."""
        return Chat(turns=(*self.turns, message))

    def _with(self, role: Role, parts: tuple[object, ...]) -> Chat:
        return Chat(turns=(*self.turns, Turn(role=role, parts=parts)))

    @overload
    def gen(
        self,
        *,
        out: Regex | Ebnf | Sequence[str] | None = None,
        n: None = None,
        **options: Unpack[GenOptions],
    ) -> Step[str]: ...
    @overload
    def gen(
        self, *, out: JsonSchema, n: None = None, **options: Unpack[GenOptions]
    ) -> Step[object]: ...
    @overload
    def gen(
        self, *, out: TypeForm[T], n: None = None, **options: Unpack[GenOptions]
    ) -> Step[T]: ...
    @overload
    def gen(
        self,
        *,
        out: Regex | Ebnf | Sequence[str] | None = None,
        n: int,
        **options: Unpack[GenOptions],
    ) -> Candidates[str]: ...
    @overload
    def gen(
        self, *, out: JsonSchema, n: int, **options: Unpack[GenOptions]
    ) -> Candidates[object]: ...
    @overload
    def gen(self, *, out: TypeForm[T], n: int, **options: Unpack[GenOptions]) -> Candidates[T]: ...
    def gen(
        self, *, out: object = None, n: int | None = None, **options: Unpack[GenOptions]
    ) -> Step[Any]:
        """What the assistant says next: see ``weft.gen``."""
        return order_gen(list(self.turns), out, n, options)


def chat(*system: object) -> Chat:
    """A new chat; with arguments, they are what the system says."""
    return Chat().system(*system) if system else Chat()
