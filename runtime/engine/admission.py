"""From a Request to a Job: everything about it that can be refused is refused here.

Runs on the caller's side, before the engine's thread hears of the Request, so that bad input
never reaches a batch that others share.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass

from weft.cache import Namespace
from weft.errors import InvalidRequest
from weft.programs.request import Request
from weft.programs.seeds import branch_seed, step_seed
from weft.runtime.engine.sampling import SamplingRow, check
from weft.runtime.engine.sequence import Job, Sequence
from weft.runtime.engine.stream import DeltaStream
from weft.runtime.engine.text_stream import TextStream
from weft.runtime.engine.tokenizer import ChatTokenizer
from weft.runtime.grammar import CompiledGrammar

__all__ = ["Admission"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What a Request must fit: the model's vocabulary and window, the pool's size."""

    tokenizer: ChatTokenizer
    vocab_size: int
    max_context: int
    """Most tokens of prompt and output: the window, or the whole pool if that is smaller."""
    end_ids: frozenset[int]
    """The model's own end tokens."""
    default_seed: int
    """For requests that bring no seed; mixed with the request id, so that two differ."""

    def job(self, request: Request, stream: DeltaStream, compiled: CompiledGrammar | None) -> Job:
        """A Job with its sequences. Raises InvalidRequest."""
        sampling = request.sampling
        check(sampling, self.vocab_size)
        self._check_tokens("prompt", request.prompt)
        stops = set(sampling.stop_token_ids)
        job = Job(
            request=request,
            stream=stream,
            namespace=Namespace(tenant=request.tenant),
            max_tokens=self._max_tokens(request),
            stop_ids=frozenset(stops if sampling.ignore_eos else stops | self.end_ids),
            compiled=compiled,
        )
        job.sequences = [self._sequence(job, index) for index in range(request.n)]
        return job

    def scoring_job(self, request: Request, stream: DeltaStream, score_from: int) -> Job:
        """A Job that scores the prompt's tokens from ``score_from`` on. Raises InvalidRequest."""
        self._check_tokens("prompt and target", request.prompt)
        if len(request.prompt) > self.max_context:
            raise self._too_long(len(request.prompt))
        job = Job(
            request=request,
            stream=stream,
            namespace=Namespace(tenant=request.tenant),
            max_tokens=1,
            stop_ids=frozenset(),
            score_from=score_from,
        )
        job.sequences = [self._sequence(job, 0)]
        return job

    def _sequence(self, job: Job, index: int) -> Sequence:
        request = job.request
        seed = request.sampling.seed
        if seed is None:
            seed = step_seed(self.default_seed, request.request_id)
        row = SamplingRow(
            request.sampling,
            seed=branch_seed(seed, index),
            prompt=request.prompt,
            end_ids=sorted(job.stop_ids),
        )
        text = TextStream(self.tokenizer.texts, request.sampling.stop)
        matcher = None if job.compiled is None else job.compiled.matcher()
        return Sequence(job=job, index=index, row=row, text=text, matcher=matcher)

    def _max_tokens(self, request: Request) -> int:
        room = self.max_context - len(request.prompt)
        if room < 1:
            raise self._too_long(len(request.prompt))
        wanted = request.sampling.max_tokens
        if wanted is not None and wanted > room:
            raise InvalidRequest(
                f"{len(request.prompt)} prompt tokens and max_tokens {wanted!r} are more than the "
                f"{self.max_context} tokens that a sequence may have.",
                remedy=f"Shorten the prompt, or ask for at most {room} tokens.",
            )
        return room if wanted is None else wanted

    def _too_long(self, num_tokens: int) -> InvalidRequest:
        return InvalidRequest(
            f"The prompt has {num_tokens} tokens, but a sequence may have {self.max_context}.",
            remedy="Shorten it; one token must be left to generate.",
        )

    def _check_tokens(self, name: str, token_ids: Seq[int]) -> None:
        if min(token_ids) >= 0 and max(token_ids) < self.vocab_size:
            return
        bad = next(t for t in token_ids if not 0 <= t < self.vocab_size)
        raise InvalidRequest(
            f"The {name} holds the token id {bad!r}.",
            remedy=f"The model's token ids are 0 to {self.vocab_size - 1}.",
        )
