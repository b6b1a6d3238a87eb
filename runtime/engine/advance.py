"""What a drawn token means for its sequence: text, stops, the grammar, the next Delta."""

from __future__ import annotations

from weft.programs.request import Delta, FinishReason, TokenLogprob
from weft.runtime.engine.sequence import Sequence

__all__ = ["advance", "finish", "take_delta"]


def advance(sequence: Sequence, token_id: int, logprob: TokenLogprob | None) -> None:
    """Append a drawn token and decide whether the sequence ends with it.

    Mutates the sequence: tokens, text not yet sent, grammar state, finish reason.
    """
    sequence.tokens.append(token_id)
    sequence.row.record(token_id)
    if logprob is not None:
        sequence.logprobs.append(logprob)
    can_stop = sequence.num_generated >= sequence.job.request.sampling.min_tokens
    if can_stop and token_id in sequence.job.stop_ids:
        _close(sequence, "stop")
        return
    piece = sequence.text.push(token_id, can_stop=can_stop)
    sequence.unsent_text += piece.text
    if piece.is_stopped or _has_grammar_ended(sequence, token_id):
        _close(sequence, "stop")
    elif sequence.num_generated >= sequence.job.max_tokens:
        _close(sequence, "length")


def finish(sequence: Sequence, reason: FinishReason) -> None:
    """End a sequence from outside, keeping what it has."""
    _close(sequence, reason)


def take_delta(sequence: Sequence) -> Delta | None:
    """What is to be sent of the sequence now; ``None`` while too little has gathered."""
    every = sequence.job.request.stream_every
    num_unsent = sequence.num_generated - sequence.num_sent
    is_due = sequence.is_done or (every > 0 and num_unsent >= every)
    if not is_due:
        return None
    start = sequence.num_prompt + sequence.num_sent
    delta = Delta(
        index=sequence.index,
        token_ids=tuple(sequence.tokens[start:]),
        text=sequence.unsent_text,
        logprobs=tuple(sequence.logprobs[sequence.num_sent :]),
        finish_reason=sequence.finish_reason,
        num_prompt_tokens=sequence.num_prompt,
        num_cached_tokens=sequence.num_cached,
    )
    sequence.num_sent = sequence.num_generated
    sequence.unsent_text = ""
    return delta


def _has_grammar_ended(sequence: Sequence, token_id: int) -> bool:
    matcher = sequence.matcher
    if matcher is None:
        return False
    is_accepted = matcher.accept(token_id)
    assert is_accepted, f"the grammar refuses token {token_id}, which its own mask allowed"
    return matcher.is_terminated


def _close(sequence: Sequence, reason: FinishReason) -> None:
    sequence.unsent_text += sequence.text.flush()
    sequence.finish_reason = reason
