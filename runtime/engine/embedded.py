"""The engine inside this process: transformers' model code over weft's own paged KV."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from collections.abc import Sequence as Seq
from contextlib import contextmanager
from itertools import count
from threading import Thread

from weft.cache import BlockPool, RadixTree, released_first
from weft.cache.kv_store import KVStore
from weft.errors import InvalidRequest
from weft.programs.grammar import GrammarSpec
from weft.programs.message import Message
from weft.programs.past import Past
from weft.programs.request import Delta, Request
from weft.programs.sampling import Sampling
from weft.runtime.engine.admission import Admission
from weft.runtime.engine.chooser import Chooser
from weft.runtime.engine.config import EngineConfig
from weft.runtime.engine.inbox import Cancel, Close, Demote, Disband, Inbox, Release, Submit
from weft.runtime.engine.kv_budget import kv_budget_bytes
from weft.runtime.engine.loop import EngineLoop
from weft.runtime.engine.memory import SequenceMemory
from weft.runtime.engine.model import ModelRunner
from weft.runtime.engine.protocol import Capabilities, EngineStats
from weft.runtime.engine.sampling import Sampler
from weft.runtime.engine.sequence import Job
from weft.runtime.engine.speculator import Speculator
from weft.runtime.engine.spill import Spill
from weft.runtime.engine.stream import DeltaStream
from weft.runtime.engine.tokenizer import ChatTokenizer
from weft.runtime.grammar import BatchMasks, CompiledGrammar, GrammarCompiler

__all__ = ["EmbeddedEngine"]


class EmbeddedEngine:
    """Implements the Engine protocol with a model in this process and a thread that runs it.

    Build one with ``open_engine``. Holds the model and its KV memory until closed.
    """

    def __init__(
        self,
        runner: ModelRunner,
        tokenizer: ChatTokenizer,
        config: EngineConfig,
        *,
        name: str,
        seed: int = 0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Allocates the KV memory and starts the thread. ``clock`` gives the seconds by which
        guessing ahead is judged.

        Raises: InvalidRequest when the KV budget does not hold one block beside padding.
        """
        self._runner = runner
        self._name = name
        self._tokenizer = tokenizer
        self._inbox = Inbox()
        self._max_running = config.max_running
        self._score_ids = count(1)
        self._open_ids: set[str] = set()
        num_blocks = _num_blocks(runner, config)
        self._pool = BlockPool(num_blocks, config.block_size)
        self._admission = _admission(runner, tokenizer, config, num_blocks, seed)
        self._compiler = GrammarCompiler(
            tokenizer.hf, vocab_size=runner.vocab_size, stop_token_ids=runner.info.eos_ids
        )
        masks = BatchMasks(runner.vocab_size)
        self._kv = KVStore(
            num_blocks, config.block_size, runner.layers, runner.kv_dtype, runner.device
        )
        self._spill = _open_spill(runner, config, self._kv)
        self._tree = _open_tree(self._pool, self._spill)
        memory = SequenceMemory(
            self._pool,
            self._tree,
            has_prefix_cache=config.has_prefix_cache,
            spill=self._spill,
        )
        self._loop = EngineLoop(
            config=config,
            model=runner,
            kv=self._kv,
            memory=memory,
            chooser=Chooser(Sampler(runner.vocab_size, runner.device), masks),
            speculator=Speculator(
                config=config,
                memory=memory,
                kv=self._kv,
                masks=masks,
                encode=tokenizer.encode,
                clock=clock,
            ),
            inbox=self._inbox,
            encode=tokenizer.encode,
            decode=tokenizer.decode,
            clock=clock,
        )
        self._thread = Thread(target=self._loop.run, name="weft-engine", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            grammars=frozenset(
                {"json_schema", "json", "regex", "ebnf", "choices", "structural_tag"}
            ),
            can_score=True,
            has_logprobs=True,
            has_seeds=True,
            is_deterministic=self._runner.is_deterministic,
            sees_branches=self._admission.sees_branches,
            max_context=self._admission.max_context,
        )

    def encode(self, text: str, *, has_controls: bool = False) -> tuple[int, ...]:
        return self._tokenizer.encode(text, has_controls=has_controls)

    def decode(self, token_ids: Seq[int]) -> str:
        return self._tokenizer.decode(token_ids)

    def render(
        self, messages: Seq[Message], tools: Seq[Mapping[str, object]] = ()
    ) -> tuple[int, ...]:
        return self._tokenizer.render(messages, tools)

    async def submit(self, request: Request) -> AsyncGenerator[Delta, None]:
        compiled = await self._compile(request.grammar)
        job = self._admission.job(request, DeltaStream(asyncio.get_running_loop()), compiled)
        num_open = request.n
        with self._posted(job):
            while num_open > 0:
                delta = await job.stream.next()
                num_open -= delta.finish_reason is not None
                yield delta

    async def cancel(self, request_id: str, indices: Seq[int] | None = None) -> None:
        self._inbox.post(Cancel(request_id, None if indices is None else tuple(indices)))
        if indices is None:
            self._inbox.post(Disband(request_id))

    @property
    def kv_tokens(self) -> int:
        return (self._pool.num_blocks - 1) * self._pool.block_size

    @property
    def kv_token_bytes(self) -> int:
        return self._kv.size_bytes // (self._pool.num_blocks * self._pool.block_size)

    @property
    def spill_tokens(self) -> int:
        return 0 if self._spill is None else self._spill.num_blocks * self._pool.block_size

    @property
    def max_running(self) -> int:
        return self._max_running

    def demote_kv(self, run_id: str) -> None:
        self._inbox.post(Demote(run_id))

    def give_up_kv(self, run_id: str) -> None:
        self._inbox.post(Release(run_id))

    async def score(
        self, prompt: Seq[int], target: Seq[int], *, past: Past | None = None
    ) -> tuple[float, ...]:
        if not target:
            return ()
        request = Request(
            request_id=f"score-{next(self._score_ids)}",
            prompt=(*prompt, *target),
            past=past,
            sampling=Sampling(),
            stream_every=0,
        )
        if not prompt:
            raise InvalidRequest(
                "The prompt is empty.", remedy="Give the tokens that the target follows."
            )
        stream = DeltaStream(asyncio.get_running_loop())
        job = self._admission.scoring_job(request, stream, len(prompt))
        with self._posted(job):
            delta = await stream.next()
        return tuple(entry.logprob for entry in delta.logprobs)

    def stats(self) -> EngineStats:
        loop, planner = self._loop, self._loop.planner
        return EngineStats(
            num_running=len(planner.running) + planner.num_lanes,
            num_waiting=len(planner.waiting),
            num_blocks=self._pool.num_blocks - 1,
            num_blocks_used=self._pool.num_used - self._tree.num_evictable_blocks,
            num_blocks_cached=self._tree.num_evictable_blocks,
            num_prompt_tokens=loop.num_prompt_tokens,
            num_cached_tokens=loop.num_cached_tokens,
            num_generated_tokens=loop.num_generated_tokens,
            num_preemptions=planner.num_preemptions,
            num_ticks=loop.num_ticks,
            num_guessed_tokens=loop.speculator.num_guessed,
            num_accepted_tokens=loop.speculator.num_accepted,
            num_forced_tokens=loop.speculator.num_forced,
            busy_s=loop.busy_s,
            num_prefilled_tokens=loop.num_prefilled_tokens,
            num_decoded_tokens=loop.num_decoded_tokens,
            num_read_tokens=loop.num_read_tokens,
        )

    async def close(self) -> None:
        self._inbox.post(Close())
        await asyncio.to_thread(self._thread.join)
        # What is closed may stay for long in a circle of references: its memory must not.
        self._kv.free()
        if self._spill is not None:
            self._spill.free()
        self._compiler.close()

    async def _compile(self, spec: GrammarSpec | None) -> CompiledGrammar | None:
        if spec is None:
            return None
        # A thread for what is known would take longer than all the rest of submitting.
        return self._compiler.known(spec) or await asyncio.to_thread(self._compiler.compile, spec)

    @contextmanager
    def _posted(self, job: Job) -> Generator[None]:
        """Have the engine serve a Job while the caller reads its stream; leaving cancels it."""
        request_id = job.request.request_id
        if request_id in self._open_ids:
            raise InvalidRequest(
                f"The request id {request_id!r} is in use.", remedy="Give every Request its own."
            )
        self._open_ids.add(request_id)
        self._inbox.post(Submit(job))
        try:
            if self._loop.stopped_by is not None:
                raise self._loop.stopped_by
            yield
        finally:
            self._open_ids.discard(request_id)
            if not job.is_done:
                self._inbox.post(Cancel(request_id, None))


def _open_tree(pool: BlockPool, spill: Spill | None) -> RadixTree:
    """The prefix index; what leaves it may be wanted outside the pool."""
    on_give_up = None if spill is None else spill.save
    return RadixTree(pool, priority=released_first, on_give_up=on_give_up)


def _open_spill(runner: ModelRunner, config: EngineConfig, kv: KVStore) -> Spill | None:
    """The place outside the KV pool, in host memory."""
    block_bytes = KVStore.block_bytes(config.block_size, runner.layers, runner.kv_dtype)
    num_slots = config.spill_bytes // block_bytes
    if not num_slots:
        return None
    store = KVStore(num_slots, config.block_size, runner.layers, runner.kv_dtype, "cpu")
    return Spill(kv, store, num_slots)


def _admission(
    runner: ModelRunner, tokenizer: ChatTokenizer, config: EngineConfig, num_blocks: int, seed: int
) -> Admission:
    return Admission(
        tokenizer=tokenizer,
        vocab_size=runner.vocab_size,
        window=runner.max_context,
        pool_tokens=(num_blocks - 1) * config.block_size,
        block_size=config.block_size,
        max_running=config.max_running,
        sees_branches=runner.sees_branches,
        end_ids=frozenset(runner.info.eos_ids),
        default_seed=seed,
    )


def _num_blocks(runner: ModelRunner, config: EngineConfig) -> int:
    budget = config.kv_bytes or kv_budget_bytes(runner.device)
    block_bytes = KVStore.block_bytes(config.block_size, runner.layers, runner.kv_dtype)
    num_useful = 1 + -(-config.max_running * runner.max_context // config.block_size)
    if config.kv_bytes is None:
        budget = min(budget, num_useful * block_bytes)
    return KVStore.num_blocks_in(budget, config.block_size, runner.layers, runner.kv_dtype)
