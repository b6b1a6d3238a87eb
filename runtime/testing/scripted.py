"""An engine without a model: a script says what it answers, and it remembers what happened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, get_args

from weft.errors import EngineClosed, UnsupportedFeature
from weft.programs.grammar import GrammarKind
from weft.programs.message import Message
from weft.programs.past import Past
from weft.programs.request import Delta, FinishReason, Request, TokenLogprob
from weft.programs.seeds import branch_seed
from weft.runtime.engine.protocol import Capabilities, EngineStats

__all__ = ["Prompted", "Reply", "Script", "ScriptedEngine"]

EVERYTHING = Capabilities(
    grammars=frozenset(get_args(GrammarKind)),
    has_logprobs=True,
    has_seeds=True,
    is_deterministic=True,
    sees_branches=True,
    max_context=1_000_000,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompted:
    """What a script answers to: one sequence of one Request."""

    text: str
    """The prompt: raw text, or messages rendered as ``role: content`` lines."""
    index: int
    """Which of the Request's sequences."""
    seed: int | None
    """This sequence's own seed."""
    request: Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a sequence says, and when."""

    text: str = ""
    wait: Callable[[], Awaitable[object]] | None = None
    """Awaited before the sequence says anything."""
    error: Exception | None = None
    """Raised instead of an answer: the whole Request fails."""
    chunk: int | None = None
    """Tokens per Delta; ``None`` is all at once."""


Script = Callable[[Prompted], str | Reply]


class _Mailbox:
    """A queue for one reader, lighter than asyncio's: many Requests may be parked."""

    __slots__ = ("_items", "_reader")

    def __init__(self) -> None:
        self._items: list[Delta | Exception] = []
        self._reader: asyncio.Future[None] | None = None

    def put(self, item: Delta | Exception) -> None:
        self._items.append(item)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> Delta | Exception:
        if not self._items:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self._items.pop(0)


class ScriptedEngine:
    """An Engine whose tokens are characters. Grammars are accepted and not enforced: an answer
    that does not follow one shows what a program does with bad output.

    ``script`` is asked once per sequence, when its Request starts; ``None`` echoes the prompt.
    Token limits, stop strings, cancellation and closing are those of a real engine. Sequences
    of one Request run concurrently when one of their replies waits.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        capabilities: Capabilities = EVERYTHING,
        name: str = "scripted",
        kv_tokens: int = 1_000_000,
        spill_tokens: int = 0,
        max_running: int = 1024,
    ) -> None:
        """``kv_tokens``, ``spill_tokens`` and ``max_running`` are what schedulers are told; the
        engine itself serves all at once."""
        self._script = script or _echo
        self._capabilities = capabilities
        self._name = name
        self.kv_tokens = kv_tokens
        self.kv_token_bytes = 4
        self.spill_tokens = spill_tokens
        self.max_running = max_running
        self._is_closed = False
        self._queues: dict[str, _Mailbox] = {}
        self._writers: dict[str, dict[int, asyncio.Task[None]]] = {}
        self._num_generated = 0
        self._num_prompt = 0
        self.requests: list[Request] = []
        """Every Request that started, in order."""
        self.closed: list[str] = []
        """Ids of Requests whose stream was closed before all sequences had ended."""
        self.cancelled: list[tuple[str, int]] = []
        """Sequences that were ended before they were done: Request id and index."""
        self.given_up: list[str] = []
        """Runs whose KV a scheduler has given up, in order."""
        self.demoted: list[str] = []
        """Runs whose KV a scheduler has demoted, in order."""

    @property
    def name(self) -> str:
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @property
    def num_active(self) -> int:
        """Requests whose stream is open: 0 when nothing leaks."""
        return len(self._writers)

    @property
    def prompts(self) -> list[str]:
        """The text of every Request that started, in order."""
        return [self.decode(request.context) for request in self.requests]

    def encode(self, text: str, *, has_controls: bool = False) -> tuple[int, ...]:
        return tuple(map(ord, text))

    def decode(self, token_ids: Sequence[int]) -> str:
        return "".join(map(chr, token_ids))

    def render(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, object]] = ()
    ) -> tuple[int, ...]:
        return self.encode("\n".join(f"{one.role}: {one.content}" for one in messages))

    async def submit(self, request: Request) -> AsyncGenerator[Delta, None]:
        if self._is_closed:
            raise EngineClosed("The engine is closed.", remedy="Make a new one.")
        self.requests.append(request)
        self._num_prompt += len(request.context)
        replies = [self._ask(request, index) for index in range(request.n)]
        self._writers[request.request_id] = {}
        num_open = request.n
        try:
            if not any(reply.wait for reply in replies):
                for index, reply in enumerate(replies):
                    for delta in self._deltas(request, index, reply):
                        num_open -= delta.finish_reason is not None
                        yield delta
                return
            queue = self._start_writers(request, replies)
            while num_open:
                item = await queue.get()
                if isinstance(item, Exception):
                    raise item
                num_open -= item.finish_reason is not None
                yield item
        except (asyncio.CancelledError, GeneratorExit):
            self._note_closed(request, num_open)
            raise
        finally:
            self._queues.pop(request.request_id, None)
            for task in self._writers.pop(request.request_id).values():
                task.cancel()

    def _note_closed(self, request: Request, num_open: int) -> None:
        if num_open:
            self.closed.append(request.request_id)
            writers = self._writers[request.request_id]
            unfinished = [index for index, task in writers.items() if not task.done()]
            self.cancelled += [(request.request_id, index) for index in unfinished]

    def _ask(self, request: Request, index: int) -> Reply:
        seed = request.sampling.seed
        prompted = Prompted(
            text=self.decode(request.context),
            index=index,
            seed=None if seed is None else branch_seed(seed, index),
            request=request,
        )
        reply = self._script(prompted)
        return Reply(text=reply) if isinstance(reply, str) else reply

    def _deltas(self, request: Request, index: int, reply: Reply) -> list[Delta]:
        if reply.error is not None:
            raise reply.error
        text, stop, finish_reason = _cut(reply.text, request)
        size = max(reply.chunk or len(text), 1)
        chunks = [text[start : start + size] for start in range(0, len(text), size)] or [""]
        drawn = [*chunks[:-1], chunks[-1] + stop]
        self._num_generated += len(text + stop)
        return [
            Delta(
                index=index,
                token_ids=self.encode(letters),
                text=chunk,
                logprobs=_logprobs(letters, request),
                finish_reason=finish_reason if number == len(chunks) else None,
                num_prompt_tokens=len(request.context),
            )
            for number, (chunk, letters) in enumerate(zip(chunks, drawn, strict=True), start=1)
        ]

    def _start_writers(self, request: Request, replies: Sequence[Reply]) -> _Mailbox:
        queue = _Mailbox()
        self._queues[request.request_id] = queue
        self._writers[request.request_id] = {
            index: asyncio.get_running_loop().create_task(self._write(request, index, reply, queue))
            for index, reply in enumerate(replies)
        }
        return queue

    async def _write(self, request: Request, index: int, reply: Reply, queue: _Mailbox) -> None:
        try:
            if reply.wait is not None:
                await reply.wait()
            for delta in self._deltas(request, index, reply):
                queue.put(delta)
                await asyncio.sleep(0)
        except Exception as error:
            queue.put(error)

    async def cancel(self, request_id: str, indices: Sequence[int] | None = None) -> None:
        writers = self._writers.get(request_id, {})
        for index, task in writers.items():
            if (indices is None or index in indices) and not task.done():
                task.cancel()
                self.cancelled.append((request_id, index))
                self._queues[request_id].put(Delta(index=index, finish_reason="cancelled"))

    def give_up_kv(self, run_id: str) -> None:
        self.given_up.append(run_id)

    def demote_kv(self, run_id: str) -> None:
        self.demoted.append(run_id)

    async def score(
        self, prompt: Sequence[int], target: Sequence[int], *, past: Past | None = None
    ) -> tuple[float, ...]:
        raise UnsupportedFeature("A scripted engine cannot score.", remedy="Use a model.")

    def stats(self) -> EngineStats:
        return EngineStats(
            num_running=len(self._writers),
            num_prompt_tokens=self._num_prompt,
            num_generated_tokens=self._num_generated,
        )

    async def close(self) -> None:
        self._is_closed = True
        for request_id in list(self._writers):
            await self.cancel(request_id)


def _echo(prompted: Prompted) -> str:
    return prompted.text


class _Cut(NamedTuple):
    text: str
    stop: str
    """The stop string behind it, which is drawn and no part of the text; empty: none."""
    finish_reason: FinishReason


def _cut(text: str, request: Request) -> _Cut:
    """The text up to the first stop string and the token limit."""
    found = [(text.index(stop), stop) for stop in request.sampling.stop if stop in text]
    end, stop = min(found, default=(len(text), ""))
    limit = request.sampling.max_tokens
    if limit is not None and end + len(stop) > limit:
        return _Cut(text[:limit], "", "length")
    return _Cut(text[:end], stop, "stop")


def _logprobs(chunk: str, request: Request) -> tuple[TokenLogprob, ...]:
    if request.sampling.logprobs is None:
        return ()
    return tuple(TokenLogprob(logprob=0.0, top={}, behaviour=0.0) for _ in chunk)
