"""An engine without a thread: its Ticks come when a test asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import count
from typing import cast

import torch

from tests.support.tiny import build_tokenizer
from weft.cache import BlockPool, RadixTree
from weft.cache.kv_store import KVStore
from weft.errors import WeftError
from weft.programs.request import Delta, FinishReason, Request, TokenLogprob
from weft.runtime.engine.admission import Admission
from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.chooser import Chooser
from weft.runtime.engine.config import EngineConfig
from weft.runtime.engine.inbox import Cancel, Disband, Inbox, Letter, Submit
from weft.runtime.engine.loop import EngineLoop
from weft.runtime.engine.memory import SequenceMemory
from weft.runtime.engine.model import ModelRunner
from weft.runtime.engine.sampling import Sampler
from weft.runtime.engine.speculator import Speculator
from weft.runtime.engine.stream import DeltaStream
from weft.runtime.engine.tokenizer import ChatTokenizer
from weft.runtime.grammar import BatchMasks

__all__ = ["Answer", "Ticking"]


_tokenizer = cache(build_tokenizer)


class _AtOnce:
    """As much of an event loop as a stream needs."""

    call_soon_threadsafe = staticmethod(lambda call, *values: call(*values))  # pyright: ignore


class Answer(DeltaStream):
    """What has come of one Request so far."""

    def __init__(self) -> None:
        super().__init__(cast(asyncio.AbstractEventLoop, _AtOnce()))
        self.token_ids: list[int] = []
        self.logprobs: list[TokenLogprob] = []
        self.finish_reason: FinishReason | None = None
        self.num_cached_tokens = 0
        self.num_deltas = 0
        self.error: WeftError | None = None

    @property
    def is_over(self) -> bool:
        return self.error is not None or self.finish_reason is not None

    def push(self, deltas: Iterable[Delta]) -> None:
        for delta in deltas:
            assert not self.is_over, "a Delta after the last one"
            self.num_deltas += 1
            self.token_ids += delta.token_ids
            self.logprobs += delta.logprobs
            self.finish_reason = delta.finish_reason
            self.num_cached_tokens = delta.num_cached_tokens

    def fail(self, error: WeftError) -> None:
        assert not self.is_over, "an error after the end"
        self.error = error


class _Recorder:
    """Keeps the logits that a model gave."""

    def __init__(self, runner: ModelRunner) -> None:
        self._runner = runner
        self.logits: list[torch.Tensor] = []

    def forward(self, batch: PackedBatch, kv: KVStore) -> torch.Tensor:
        logits_RV = self._runner.forward(batch, kv)
        self.logits.append(logits_RV.clone())
        return logits_RV


class Ticking:
    """One stream per Request, no grammars."""

    def __init__(
        self,
        runner: ModelRunner,
        config: EngineConfig,
        num_blocks: int = 400,
        *,
        decode: Callable[[Sequence[int]], str] | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """``clock`` says when Deltas may be sent: without it, after every Tick."""
        tokenizer = ChatTokenizer(_tokenizer())
        self.encode, self.decode = tokenizer.encode, decode or tokenizer.decode
        self.kv = KVStore(
            1 + num_blocks, config.block_size, runner.layers, runner.kv_dtype, runner.device
        )
        self.pool = BlockPool(1 + num_blocks, config.block_size)
        self.tree = RadixTree(self.pool)
        memory = SequenceMemory(self.pool, self.tree, has_prefix_cache=config.has_prefix_cache)
        masks = BatchMasks(runner.vocab_size)
        self._recorder = _Recorder(runner)
        self._inbox = Inbox()
        self._admission = Admission(
            tokenizer=tokenizer,
            vocab_size=runner.vocab_size,
            window=runner.max_context,
            end_ids=frozenset(runner.info.eos_ids),
            pool_tokens=num_blocks * config.block_size,
            block_size=config.block_size,
            max_running=config.max_running,
            sees_branches=runner.sees_branches,
            default_seed=0,
        )
        self.loop = EngineLoop(
            config=config,
            model=self._recorder,
            kv=self.kv,
            memory=memory,
            chooser=Chooser(Sampler(runner.vocab_size, runner.device), masks),
            speculator=Speculator(
                config=config,
                memory=memory,
                kv=self.kv,
                masks=masks,
                encode=self.encode,
                clock=lambda: 0.0,
            ),
            inbox=self._inbox,
            encode=self.encode,
            decode=self.decode,
            clock=clock or count().__next__,
        )

    @property
    def num_held(self) -> int:
        """Blocks that somebody holds, but for what the index could give up."""
        return self.pool.num_used - self.tree.num_evictable_blocks

    def logprobs(self) -> torch.Tensor:
        """[drawn, V]: behind all tokens, in the order in which they were drawn."""
        return torch.cat(self._recorder.logits).log_softmax(-1)

    def ask(self, request: Request) -> Answer:
        """The engine hears of it in its next Tick. Raises what admission refuses."""
        answer = Answer()
        self._inbox.post(Submit(self._admission.job(request, answer, None)))
        return answer

    def cancel(self, request_id: str) -> None:
        self._inbox.post(Cancel(request_id, None))

    def disband(self, team_id: str) -> None:
        self._inbox.post(Disband(team_id))

    def post(self, letter: Letter) -> None:
        self._inbox.post(letter)

    def tick(self, count: int = 1) -> None:
        """There must be something to do."""
        for _ in range(count):
            self._inbox.post(Cancel("nobody", None))  # so that it never waits
            self.loop.turn()

    def drain(self) -> None:
        """Go on until nothing happens any more by itself."""
        self.tick()
        while not self.loop.is_idle:
            self.tick()
