"""Running a ``gen``: render, submit, follow the sequences, read what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from weft.errors import EngineError, ModelError
from weft.programs.calls import GenCall
from weft.programs.candidates import Arrival, Candidates, arrive, is_candidates
from weft.programs.context import Context
from weft.programs.handle import Step, note
from weft.programs.lane import Lane
from weft.programs.lane_turn import LaneTurn
from weft.programs.message import Message
from weft.programs.past import Past
from weft.programs.prompt import excerpt, fill, last_part, messages_of, text_of
from weft.programs.request import Completion, Delta, FinishReason, Request, TokenLogprob
from weft.programs.sampling import Sampling
from weft.programs.seeds import step_seed
from weft.programs.strand import CURRENT
from weft.runtime.executor.account import Account
from weft.runtime.executor.context import Encoded, encode_context
from weft.runtime.executor.execution import Execution, Home
from weft.runtime.executor.lanes import encode_lane
from weft.runtime.executor.lead import FilledLead, encode_lead, fill_lead
from weft.runtime.executor.partial import PartialJson
from weft.runtime.executor.state import RunState
from weft.runtime.observe.usage import Usage

__all__ = ["Generation"]


class _Sequence:
    """One sequence as far as it has come."""

    __slots__ = (
        "finish_reason",
        "index",
        "logprobs",
        "num_cached",
        "num_prompt",
        "partial",
        "text",
        "token_ids",
    )

    def __init__(self, index: int, partial: PartialJson | None) -> None:
        self.index = index
        self.text = ""
        self.token_ids: list[int] = []
        self.logprobs: list[TokenLogprob] = []
        self.finish_reason: FinishReason | None = None
        self.num_prompt = 0
        self.num_cached = 0
        self.partial = partial

    def add(self, delta: Delta) -> None:
        self.text += delta.text
        self.token_ids += delta.token_ids
        self.logprobs += delta.logprobs
        self.finish_reason = delta.finish_reason


class Generation(Execution[GenCall]):
    """One ``gen`` Step: one Request per attempt, whose generator is closed whatever happens."""

    __slots__ = (
        "_is_stopped",
        "_is_streaming",
        "_lane",
        "_lead",
        "_num_cached",
        "_num_generated",
        "_num_prompt",
        "_num_requests",
        "_past",
        "_prompt",
        "_seed",
        "_sequences",
        "_tokens",
    )

    def __init__(
        self, *, step: Step[Any], call: GenCall, state: RunState, account: Account, home: Home
    ) -> None:
        super().__init__(step=step, call=call, state=state, account=account, home=home)
        self._sequences: list[_Sequence] = []
        self._prompt: str | Sequence[Message] = ""
        self._lead: FilledLead = ()
        self._past: Past | None = None
        self._lane: Lane | None = None
        self._tokens: tuple[int, ...] = ()
        self._seed: int | None = None
        self._is_stopped = False
        self._is_streaming = False
        self._num_requests = 0
        self._num_prompt = 0
        self._num_cached = 0
        self._num_generated = 0

    @property
    def summary(self) -> str:
        call = self.call
        if isinstance(call.prompt, Context):
            return excerpt("".join(part for part in call.prompt.parts if isinstance(part, str)))
        if isinstance(call.prompt, LaneTurn):
            return excerpt(call.lead if isinstance(call.lead, str) else "")
        if all(step.is_done and step.error is None for step in call.inputs):
            return excerpt(last_part(fill(call.prompt)))
        return excerpt(call.prompt)

    @property
    def usage(self) -> Usage:
        return Usage(
            num_prompt_tokens=self._num_prompt,
            num_cached_tokens=self._num_cached,
            num_generated_tokens=self._num_generated,
            num_requests=self._num_requests,
            seconds=self.seconds,
        )

    @property
    def can_retry(self) -> bool:
        step = self.step
        return not (is_candidates(step) and step.arrivals)

    async def attempt(self, number: int) -> object:
        # Tasks that the engine makes here are its own: they get no lineage.
        CURRENT.set(None)
        request = self._request(number)
        self._sequences = [
            _Sequence(index, PartialJson() if self.call.output.is_json else None)
            for index in range(request.n)
        ]
        await self._follow(request)
        note(self.step, self._completions(), request)
        step = self.step
        if is_candidates(step):
            return _chosen_from(step)
        return self._read(self._sequences[0])

    def _request(self, number: int) -> Request:
        call, state = self.call, self.state
        self._prompt, self._tokens, self._past, self._lane = self._render()
        sampling = self._sampling(number)
        self._seed = sampling.seed
        suffix = "" if number == 1 else f"~{number}"
        return Request(
            request_id=f"{state.run_id}/{self.lineage}{suffix}",
            prompt=self._tokens,
            past=self._past,
            lane=self._lane,
            sampling=sampling,
            n=call.n or 1,
            grammar=call.output.grammar,
            tenant=state.tenant,
            run_id=state.run_id,
            priority=state.priority + call.priority,
        )

    def _render(self) -> Encoded:
        call, engine = self.call, self.state.engine
        self._lead = fill_lead(call.lead)
        lead = encode_lead(self._lead, engine)
        if isinstance(call.prompt, LaneTurn):
            encoded = encode_lane(call.prompt, engine, self.state.run_id)
            return encoded._replace(tokens=lead)
        if isinstance(call.prompt, Context):
            encoded = encode_context(call.prompt, engine, self.state.encoder)
            return encoded._replace(tokens=encoded.tokens + lead)
        prompt = fill(call.prompt) if call.inputs else call.prompt
        if call.is_raw:
            text = text_of(prompt)
            return Encoded(text, engine.encode(text) + lead, None)
        messages = messages_of(prompt)
        return Encoded(messages, engine.render(messages, call.tool_schemas) + lead, None)

    def _sampling(self, number: int) -> Sampling:
        """Seeds follow from the lineage; another attempt draws with another seed."""
        sampling, state = self.call.sampling, self.state
        if not state.capabilities.has_seeds:
            return sampling
        seed = sampling.seed
        if seed is None:
            seed = step_seed(state.seed, self.lineage)
        if number > 1:
            seed = step_seed(seed, f"attempt {number}")
        return sampling.with_seed(seed)

    async def _follow(self, request: Request) -> None:
        if self._is_stopped:
            return
        self._num_requests += 1
        self.state.num_requests += 1
        self._is_streaming = True
        deltas = self.state.engine.submit(request)
        try:
            async for delta in deltas:
                self._take(delta)
        except asyncio.CancelledError:
            await deltas.aclose()
            if not self._is_stopped or self.fate is not None:
                raise
        except BaseException:
            await deltas.aclose()
            raise
        finally:
            self._is_streaming = False

    def stop(self) -> None:
        """End the sequences that still run; what has arrived is the result."""
        self._is_stopped = True
        if self._is_streaming and self.task is not None:
            self.task.cancel()

    def _take(self, delta: Delta) -> None:
        sequence = self._sequences[delta.index]
        sequence.add(delta)
        self._count(sequence, delta)
        text = delta.text
        if delta.finish_reason == "stop" and self.call.keeps_stop:
            text += self._stop_behind(sequence)
            sequence.text += text[len(delta.text) :]
        if text or delta.token_ids:
            self.state.tell_text(self.lineage, delta.index, text, len(delta.token_ids))
        partial = sequence.partial
        if partial is not None and delta.text and partial.grew(sequence.text):
            self.state.tell_partial(self.lineage, delta.index, partial.value)
        step = self.step
        if delta.finish_reason is not None and is_candidates(step):
            self._arrive(step, sequence)

    def _stop_behind(self, sequence: _Sequence) -> str:
        """The stop string that ended the sequence: engines draw it and leave it out of the text."""
        drawn = self.state.engine.decode(sequence.token_ids)[len(sequence.text) :]
        return next((stop for stop in self.call.sampling.stop if drawn.startswith(stop)), "")

    def _count(self, sequence: _Sequence, delta: Delta) -> None:
        """Every sequence has a prompt of its own; what it shares of it counts as cached."""
        state, num_tokens = self.state, len(delta.token_ids)
        num_prompt = max(0, delta.num_prompt_tokens - sequence.num_prompt)
        num_cached = max(0, delta.num_cached_tokens - sequence.num_cached)
        sequence.num_prompt += num_prompt
        sequence.num_cached += num_cached
        self._num_prompt += num_prompt
        self._num_cached += num_cached
        self._num_generated += num_tokens
        state.num_prompt_tokens += num_prompt
        state.num_cached_tokens += num_cached
        state.num_generated_tokens += num_tokens
        self.account.add_tokens(num_tokens)

    def _arrive(self, step: Candidates[Any], sequence: _Sequence) -> None:
        if sequence.finish_reason == "cancelled":
            return
        try:
            arrival: Arrival[object] = Arrival(index=sequence.index, value=self._read(sequence))
        except ModelError as error:
            arrival = Arrival(index=sequence.index, error=error)
        arrive(step, arrival)

    def _read(self, sequence: _Sequence) -> object:
        if sequence.finish_reason is None:
            raise EngineError(
                f"The engine's stream for Step {self.lineage!r} ended before the sequence did.",
                remedy="This is a fault of the engine: try again, or report it.",
            )
        if sequence.finish_reason == "cancelled":
            raise asyncio.CancelledError("the engine cancelled the sequence")
        return self.call.output.read(sequence.text, sequence.finish_reason)

    def _completions(self) -> tuple[Completion, ...]:
        return tuple(
            Completion(
                index=sequence.index,
                text=sequence.text,
                token_ids=tuple(sequence.token_ids),
                logprobs=tuple(sequence.logprobs),
                finish_reason=sequence.finish_reason or "cancelled",
                num_prompt_tokens=sequence.num_prompt,
                num_cached_tokens=sequence.num_cached,
            )
            for sequence in self._sequences
        )

    def input_data(self) -> object:
        call = self.call
        sampling = {**_fields(call.sampling), "seed": self._seed}
        return {
            "prompt": self._prompt,
            "tokens": self._tokens,
            "past": None if self._past is None else _tree(self._past),
            "lane": None if self._lane is None else _place(self._lane),
            "is_raw": call.is_raw,
            "lead": self._lead,
            "tool_schemas": call.tool_schemas,
            "grammar": call.output.grammar,
            "n": call.n,
            "keeps_stop": call.keeps_stop,
            "sampling": sampling,
        }

    def output_data(self, value: object) -> object:
        return [_fields(completion) for completion in self.step.completions]


def _fields(value: Sampling | Completion) -> dict[str, object]:
    """A value's fields as JSON-able data."""
    fields = {name: getattr(value, name) for name in value.__dataclass_fields__}
    return {key: dict(one) if key == "logit_bias" else one for key, one in fields.items()}


def _place(lane: Lane) -> dict[str, object]:
    """Which lane of which team; what it saw of the others is not known any more."""
    team = lane.team
    return {
        "team": team.team_id,
        "layout": team.layout,
        "shared": team.shared,
        "has_insertions": team.has_insertions,
        "index": lane.index,
    }


def _tree(past: Past) -> dict[str, object]:
    """Segments of tokens and what each of them follows."""
    segments = [
        {"tokens": one.tokens, "parents": one.parents, "placing": one.placing}
        for one in past.segments
    ]
    return {"segments": segments, "parents": past.parents, "placing": past.placing}


def _chosen_from(step: Candidates[Any]) -> list[object]:
    """The valid values by index; raises the first failure when there is none."""
    arrivals = sorted(step.arrivals, key=lambda one: one.index)
    values: list[object] = [one.value for one in arrivals if one.error is None]
    if not values and arrivals and arrivals[0].error is not None:
        raise arrivals[0].error
    return values
