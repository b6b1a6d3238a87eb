"""From a Request to a Job: everything about it that can be refused is refused here.

Runs on the caller's side, before the engine's thread hears of the Request, so that bad input
never reaches a batch that others share.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass

from weft.cache import Namespace
from weft.errors import InvalidRequest, UnsupportedFeature
from weft.programs.lane import Lane
from weft.programs.request import Request
from weft.programs.seeds import branch_seed, step_seed
from weft.runtime.engine.chains import Chain, chains_of
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
    window: int
    """Positions 0 … ``window`` - 1 may be fed to the model."""
    end_ids: frozenset[int]
    """The model's own end tokens."""
    pool_tokens: int
    """Tokens that the pool holds."""
    block_size: int
    max_running: int
    """Sequences that may run at once."""
    sees_branches: bool
    """The model's path computes views of several tables."""
    default_seed: int
    """For requests that bring no seed; mixed with the request id, so that two differ."""

    @property
    def max_context(self) -> int:
        """Most tokens of prompt and output: the window, or the whole pool if that is smaller."""
        return min(self.window, self.pool_tokens)

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
        self._add_sequences(job)
        return job

    def scoring_job(self, request: Request, stream: DeltaStream, score_from: int) -> Job:
        """A Job that scores the prompt's tokens from ``score_from`` on. Raises InvalidRequest."""
        self._check_tokens("prompt and target", request.prompt)
        self._room(request)
        job = Job(
            request=request,
            stream=stream,
            namespace=Namespace(tenant=request.tenant),
            max_tokens=1,
            stop_ids=frozenset(),
            score_from=score_from,
        )
        self._add_sequences(job)
        return job

    def _add_sequences(self, job: Job) -> None:
        request, past = job.request, job.request.past
        if request.lane is not None:
            self._add_lane(job, request.lane)
            return
        if past is None:
            job.sequences = [self._sequence(job, index) for index in range(request.n)]
            return
        *behind, own = chains_of(past, request.prompt)
        for number, chain in enumerate(behind):
            # Before all that draws, and in the order in which they see each other.
            helper = self._sequence(job, number - len(behind), chain)
            helper.is_silent = True
            job.helpers.append(helper)
        job.num_behind = past.num_tokens + len(request.prompt) - len(own.tokens)
        if job.score_from is not None:
            job.score_from += len(own.tokens) - len(request.prompt)
        job.sequences = [self._sequence(job, index, own) for index in range(request.n)]

    def _add_lane(self, job: Job, lane: Lane) -> None:
        """With what computes the prompt of its team, should it be the first to come."""
        job.sequences = [self._sequence(job, 0)]
        shared = self._sequence(job, -1)
        shared.is_silent = True
        shared.tokens = list(lane.team.shared)
        shared.num_prompt = job.num_behind = len(shared.tokens)
        job.helpers = [shared]
        job.lane_tokens = self._lane_tokens(lane)

    def _lane_tokens(self, lane: Lane) -> int:
        """The room of a lane. Raises: InvalidRequest, UnsupportedFeature."""
        team, size = lane.team, self.block_size
        self._check_sight()
        self._check_tokens("team's prompt", team.shared)
        for text in filter(None, (team.question, team.head_of(1, 1))):
            self._check_tokens("text that lanes are given", self.tokenizer.encode(text))
        if team.max_lanes > self.max_running:
            raise InvalidRequest(
                f"A team of {team.max_lanes} lanes.",
                remedy=f"The engine runs {self.max_running} sequences: see EngineConfig.",
            )
        num_shared = len(team.shared)
        num_blocks = self.pool_tokens // size - -(-num_shared // size)
        in_pool = num_blocks // team.max_lanes * size
        most = min((self.window - num_shared) // team.max_lanes, in_pool)
        if most < (team.lane_tokens or 2):
            raise InvalidRequest(
                f"{team.max_lanes} lanes of {team.lane_tokens} tokens behind {num_shared}.",
                remedy=f"There is room for {max(0, most)} tokens in each: shorten the prompt, or"
                " have fewer lanes.",
            )
        return team.lane_tokens or most

    def _sequence(self, job: Job, index: int, chain: Chain | None = None) -> Sequence:
        request = job.request
        seed = request.sampling.seed
        if seed is None:
            seed = step_seed(self.default_seed, request.request_id)
        row = SamplingRow(
            request.sampling,
            seed=branch_seed(seed, max(index, 0)),
            prompt=request.context,
            end_ids=sorted(job.stop_ids),
        )
        text = TextStream(self.tokenizer.texts, request.sampling.stop)
        matcher = None if job.compiled is None or index < 0 else job.compiled.matcher()
        sequence = Sequence(job=job, index=index, row=row, text=text, matcher=matcher)
        if chain is not None:
            sequence.stand_behind(chain)
        return sequence

    def _max_tokens(self, request: Request) -> int:
        room = self._room(request)
        if room < 1:
            raise self._too_long(len(request.context))
        wanted = request.sampling.max_tokens
        if wanted is not None and wanted > room:
            raise InvalidRequest(
                f"{len(request.context)} prompt tokens and max_tokens {wanted!r} are more than the "
                f"{self.max_context} tokens that a sequence may have.",
                remedy=f"Shorten the prompt, or ask for at most {room} tokens.",
            )
        return room if wanted is None else wanted

    def _room(self, request: Request) -> int:
        """Tokens that may follow the prompt. Raises InvalidRequest where not even that fits."""
        past = request.past
        end, num_tokens = len(request.prompt), len(request.prompt)
        if past is not None:
            self._check_sight()
            for segment in past.segments:
                self._check_tokens("past", segment.tokens)
            end += past.frames[-1].end
            # Every segment may end in a block that it does not fill.
            num_tokens += past.num_tokens + self.block_size * (1 + len(past.segments))
        room = min(self.window - end, self.pool_tokens - num_tokens)
        if room < 0:
            raise self._too_long(len(request.context))
        return room

    def _check_sight(self) -> None:
        if not self.sees_branches:
            raise UnsupportedFeature(
                "The Request sees branches or lanes, which the model's path cannot do here.",
                remedy="Join branches as text, or use a Llama, Mistral, Qwen2 or Qwen3 model on a"
                " processor with a C++ compiler: `weft doctor` says what is missing.",
            )

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
