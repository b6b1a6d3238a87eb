"""Asking the model: the ``gen`` step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict, TypeVar, Unpack, overload

from typing_extensions import TypeForm

from weft.errors import InvalidRequest
from weft.programs.calls import GenCall
from weft.programs.candidates import Candidates
from weft.programs.context import Context
from weft.programs.handle import Step
from weft.programs.lane_turn import LaneTurn
from weft.programs.lead import Lead, check_lead
from weft.programs.output import output_of
from weft.programs.patterns import Ebnf, JsonSchema, Regex
from weft.programs.prompt import Prompt, find_steps
from weft.programs.retry import NO_RETRY, Retry, as_retry
from weft.programs.sampling import MAX_BRANCHES, Sampling
from weft.programs.strand import check_name, current_strand

__all__ = ["GenOptions", "gen", "order_gen"]

T = TypeVar("T")


class GenOptions(TypedDict, total=False):
    """How a generation draws and what its Step may take. Sampling explains the first ones."""

    max_tokens: int
    min_tokens: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    logit_bias: Mapping[int, float]
    seed: int
    """Unless given, it follows from the Run's seed and the Step's lineage."""
    stop: str | Sequence[str]
    stop_token_ids: Sequence[int]
    keeps_stop: bool
    """The stop string that ended the text is part of it."""
    ignore_eos: bool
    logprobs: int
    timeout_s: float
    """Seconds from the moment its inputs are there, retries included."""
    retries: int | Retry
    name: str
    """Stands in the lineage; ``gen`` unless given."""
    priority: int
    is_raw: bool
    """The prompt is text to continue: no chat template. The prompt may hold no messages."""
    lead: Lead
    """What the assistant has already begun to say: it stands after the template, or after the raw
    text, is no part of the result, and no grammar looks at it. Text is encoded as plain text, apart
    from the prompt; see Lead for control tokens, token ids and results of other Steps."""
    tool_schemas: Sequence[Mapping[str, object]]
    """Tools that the chat template shows: ``Tool.json_schema()`` of each."""


DEFAULT_SAMPLING = Sampling()
STEP_OPTIONS = frozenset(
    {"keeps_stop", "timeout_s", "retries", "name", "priority", "is_raw", "lead", "tool_schemas"}
)


@overload
def gen(
    prompt: Prompt | Context,
    *,
    out: Regex | Ebnf | Sequence[str] | None = None,
    n: None = None,
    **options: Unpack[GenOptions],
) -> Step[str]: ...
@overload
def gen(
    prompt: Prompt | Context, *, out: JsonSchema, n: None = None, **options: Unpack[GenOptions]
) -> Step[object]: ...
@overload
def gen(
    prompt: Prompt | Context, *, out: TypeForm[T], n: None = None, **options: Unpack[GenOptions]
) -> Step[T]: ...
@overload
def gen(
    prompt: Prompt | Context,
    *,
    out: Regex | Ebnf | Sequence[str] | None = None,
    n: int,
    **options: Unpack[GenOptions],
) -> Candidates[str]: ...
@overload
def gen(
    prompt: Prompt | Context, *, out: JsonSchema, n: int, **options: Unpack[GenOptions]
) -> Candidates[object]: ...
@overload
def gen(
    prompt: Prompt | Context, *, out: TypeForm[T], n: int, **options: Unpack[GenOptions]
) -> Candidates[T]: ...
def gen(
    prompt: Prompt | Context,
    *,
    out: object = None,
    n: int | None = None,
    **options: Unpack[GenOptions],
) -> Step[Any]:
    """Submit a generation now; the Step gives its output, typed by ``out``. After a Context the
    assistant goes on with what it has written.

    ``out`` is a pydantic model, any type pydantic can read from JSON, a ``Literal``, a list of
    choices, a Regex, an Ebnf or a JsonSchema: the engine enforces it and the result is
    validated. With ``n`` the result is Candidates, whose sequences share the prompt's KV.

    Raises here: StepOutsideRun, InvalidRequest, GrammarRejected, UnsupportedFeature,
    BudgetExceeded. Raises when awaited: OutputInvalid, OutputTruncated, StepTimeout,
    BudgetExceeded, EngineError.
    """
    return order_gen(prompt, out, n, options)


def order_gen(
    prompt: Prompt | Context | LaneTurn, out: object, n: int | None, options: GenOptions
) -> Step[Any]:
    """``gen`` without its overloads."""
    strand = current_strand("gen()")
    if n is not None:
        _check_n(n)
    name = options.get("name")
    call = GenCall(
        name="gen" if name is None else check_name(name),
        prompt=prompt,
        output=output_of(out),
        sampling=_sampling(options) if options else DEFAULT_SAMPLING,
        n=n,
        keeps_stop=options.get("keeps_stop", False),
        is_raw=options.get("is_raw", False),
        lead=check_lead(options["lead"]) if "lead" in options else "",
        priority=options.get("priority", 0),
        tool_schemas=tuple(options.get("tool_schemas", ())),
        inputs=tuple(_inputs(prompt, options)),
        timeout_s=options.get("timeout_s"),
        retry=as_retry(options["retries"]) if "retries" in options else NO_RETRY,
    )
    return strand.runner.submit(call, strand)


def _inputs(prompt: Prompt | Context | LaneTurn, options: GenOptions) -> Iterator[Step[Any]]:
    """Steps in the prompt and the lead."""
    if isinstance(prompt, LaneTurn):
        prompt = prompt.team.prompt
    if isinstance(prompt, Context):
        yield from prompt.steps
    elif not isinstance(prompt, str):
        yield from find_steps(prompt)
    if not isinstance(lead := options.get("lead", ""), str):
        yield from find_steps(lead)


def _check_n(n: int) -> None:
    if not 1 <= n <= MAX_BRANCHES:
        raise InvalidRequest(f"n is {n!r}.", remedy=f"It must be between 1 and {MAX_BRANCHES}.")


def _sampling(options: GenOptions) -> Sampling:
    fields: dict[str, Any] = {
        key: value for key, value in options.items() if key not in STEP_OPTIONS
    }
    if not fields:
        return DEFAULT_SAMPLING
    if "stop" in fields:
        stop = fields["stop"]
        fields["stop"] = (stop,) if isinstance(stop, str) else tuple(stop)
    if "stop_token_ids" in fields:
        fields["stop_token_ids"] = tuple(fields["stop_token_ids"])
    return Sampling(**fields)
