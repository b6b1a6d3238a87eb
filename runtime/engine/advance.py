"""What a drawn token means for its sequence: text, stops, the grammar, the next Delta."""

from __future__ import annotations

from weft.programs.request import Delta, FinishReason, TokenLogprob
from weft.runtime.engine.sequence import Sequence

__all__ = ["advance", "finish", "take_delta"]


def advance(
    sequence: Sequence,
    token_id: int,
    logprob: TokenLogprob | None = None,
    *,
    ends_grammar: bool = False,
) -> None:
    """Append a drawn token and decide whether it is the last. The grammar has accepted it, and
    with ``ends_grammar`` allows nothing more.

    Mutates the sequence: tokens, finish reason, and its text as far as somebody must know it now.
    """
    sequence.tokens.append(token_id)
    sequence.row.record(token_id)
    if logprob is not None:
        sequence.logprobs.append(logprob)
    job, num_generated = sequence.job, len(sequence.tokens) - sequence.num_prompt
    can_stop = num_generated >= job.request.sampling.min_tokens
    if can_stop and token_id in job.stop_ids:
        _read(sequence, num_generated - 1)
        sequence.num_read = num_generated
        finish(sequence, "stop")
    elif sequence.text.has_stops and _meets_stop(sequence, token_id, can_stop=can_stop):
        finish(sequence, "stop")
    elif ends_grammar:
        finish(sequence, "stop")
    elif num_generated >= job.max_tokens:
        finish(sequence, "length")


def finish(sequence: Sequence, reason: FinishReason) -> None:
    """End a sequence, keeping what it has."""
    _read(sequence, sequence.num_generated)
    sequence.unsent_text += sequence.text.flush()
    sequence.finish_reason = reason


def take_delta(sequence: Sequence) -> Delta | None:
    """What is to be sent of the sequence now; ``None`` while too little has gathered."""
    num_generated, num_sent = sequence.num_generated, sequence.num_sent
    every = sequence.job.request.stream_every
    is_due = sequence.finish_reason is not None or 0 < every <= num_generated - num_sent
    if not is_due:
        return None
    _read(sequence, num_generated)
    delta = Delta(
        index=sequence.index,
        token_ids=tuple(sequence.tokens[sequence.num_prompt + num_sent :]),
        text=sequence.unsent_text,
        logprobs=tuple(sequence.logprobs[num_sent:]) if sequence.logprobs else (),
        finish_reason=sequence.finish_reason,
        num_prompt_tokens=sequence.num_seen,
        num_cached_tokens=sequence.num_spared,
    )
    sequence.num_sent = num_generated
    sequence.unsent_text = ""
    return delta


def _read(sequence: Sequence, num_generated: int) -> None:
    """Turn generated tokens into text up to that many; text nobody waits for is left for later."""
    first, end = sequence.num_prompt + sequence.num_read, sequence.num_prompt + num_generated
    if first < end:
        sequence.unsent_text += sequence.text.read(sequence.tokens[first:end])
        sequence.num_read = num_generated


def _meets_stop(sequence: Sequence, token_id: int, *, can_stop: bool) -> bool:
    """Read the last token at once: a stop string may end the sequence with it."""
    piece = sequence.text.push(token_id, can_stop=can_stop)
    sequence.unsent_text += piece.text
    sequence.num_read = sequence.num_generated
    return piece.is_stopped
