"""A Context as tokens of the engine's vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

from weft.errors import InvalidRequest
from weft.programs.context import Context, Part
from weft.programs.handle import is_step
from weft.programs.lane import Lane
from weft.programs.lead import Control
from weft.programs.message import Message
from weft.programs.past import Past, Segment
from weft.programs.prompt import fill, messages_of, text_of
from weft.programs.request import Completion
from weft.runtime.engine.protocol import Engine
from weft.runtime.executor.encoder import RunEncoder

__all__ = ["Encoded", "encode_context"]


class Encoded(NamedTuple):
    """What a generation goes on from."""

    prompt: str | Sequence[Message]
    """That of the Context's beginning, its Steps replaced by their results."""
    tokens: tuple[int, ...]
    """Behind ``past``."""
    past: Past | None
    """None: the Context is one line of tokens."""
    lane: Lane | None = None
    """The tokens go on where this lane of a team is."""


def encode_context(context: Context, engine: Engine, encoder: RunEncoder) -> Encoded:
    """The Steps in it must be done and fine.

    Raises: InvalidRequest when branches were joined and nothing is written behind them, or a Step
    in it is no ``gen`` of one sequence.
    """
    lineup = context.lineup()
    prompt = _prompt(lineup[0])
    tokens = [(*_rendered(one, engine, encoder), *_encoded(one.parts, encoder)) for one in lineup]
    joins = [piece for one, piece in zip(lineup, tokens, strict=True) if len(one.after) > 1]
    if not joins:
        return Encoded(prompt, tuple(token for piece in tokens for token in piece), None)
    if not all((*joins, tokens[-1])):
        raise InvalidRequest(
            "Branches are joined, and nothing is written behind them.",
            remedy="Write what follows them: join(branches, …).write(…).",
        )
    return Encoded(prompt, tokens[-1], _past(lineup, tokens))


def _past(lineup: Sequence[Context], tokens: Sequence[tuple[int, ...]]) -> Past:
    """Segments of all but the last; a branch with nothing written in it is what it forked from."""
    numbers: dict[Context, int] = {}
    segments: list[Segment] = []
    for one, piece in zip(lineup[:-1], tokens, strict=False):
        parents = tuple(dict.fromkeys(numbers[before] for before in one.after))
        if piece:
            numbers[one] = len(segments)
            segments.append(Segment(tokens=piece, parents=parents, placing=one.placing))
        else:
            [numbers[one]] = parents
    last = lineup[-1]
    parents = tuple(dict.fromkeys(numbers[before] for before in last.after))
    return Past(segments=tuple(segments), parents=parents, placing=last.placing)


def _prompt(root: Context) -> str | Sequence[Message]:
    filled = fill(root.prompt)
    return text_of(filled) if root.is_raw else messages_of(filled)


def _rendered(one: Context, engine: Engine, encoder: RunEncoder) -> tuple[int, ...]:
    if one.after:
        return ()
    prompt = _prompt(one)
    return encoder.encode(prompt) if isinstance(prompt, str) else engine.render(prompt)


def _encoded(parts: Iterable[Part], encoder: RunEncoder) -> Iterable[int]:
    """Texts that stand side by side are encoded as one."""
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part
            continue
        yield from encoder.encode(text)
        text = ""
        if isinstance(part, int):
            yield part
        elif isinstance(part, Control):
            yield from encoder.encode(part.text, has_controls=True)
        else:
            assert is_step(part), "a Part is text, a token id, a Control or a Step"
            completions = part.completions
            if len(completions) != 1:
                raise InvalidRequest(
                    f"A context holds {part!r}, which wrote {len(completions)} sequences.",
                    remedy="Give a gen of one sequence, or its result as text.",
                )
            yield from encoder.written(completions[0], partial(_written, encoder))
    yield from encoder.encode(text)


def _written(encoder: RunEncoder, completion: Completion) -> Iterable[int]:
    """The tokens that were drawn, as far as they spell the text: without the one that ended it.
    Where a stop string begins inside a token, the rest of the text is encoded by itself."""
    text, drawn = completion.text, completion.token_ids
    while not text.startswith(encoder.decode(drawn)):
        drawn = drawn[:-1]
    while drawn and completion.finish_reason == "stop" and _spells_nothing(drawn, encoder):
        drawn = drawn[:-1]
    yield from drawn
    yield from encoder.encode(text[len(encoder.decode(drawn)) :])


def _spells_nothing(drawn: Sequence[int], encoder: RunEncoder) -> bool:
    """The last token adds no text: it ended the sequence."""
    return encoder.decode(drawn) == encoder.decode(drawn[:-1])
