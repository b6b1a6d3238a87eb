"""Words for people: one line, no surprises for the terminal."""

from __future__ import annotations

import unicodedata

from weft.runtime.observe.usage import Usage

__all__ = ["clipped", "clipped_front", "cost", "one_line", "program_name"]

_HIDDEN = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
"""Categories that could move the cursor, reorder a line or not be encoded at all."""


def one_line(text: str) -> str:
    """The text with runs of white space as one blank and every control character visible: what
    a model wrote must not steer the terminal."""
    joined = " ".join(text.split())
    if joined.isascii() and joined.isprintable():
        return joined
    return "".join(_visible(character) for character in joined)


def program_name(program: str) -> str:
    """A program's own name, without the module it is in."""
    return one_line(program.rpartition(":")[2])


def clipped(text: str, width: int) -> str:
    """The beginning, marked where it was cut."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def clipped_front(text: str, width: int) -> str:
    """The end, marked where it was cut."""
    return text if len(text) <= width else "…" + text[len(text) - max(width - 1, 0) :]


def cost(usage: Usage, seconds: float) -> str:
    """What something took: tokens, share of the prompt from shared KV, seconds."""
    parts: list[str] = []
    if usage.num_generated_tokens:
        parts.append(f"{usage.num_generated_tokens} tok")
    if usage.num_prompt_tokens:
        parts.append(f"{usage.hit_rate:.0%} cached")
    return ", ".join([*parts, f"{seconds:.1f} s"])


def _visible(character: str) -> str:
    if unicodedata.category(character) in _HIDDEN:
        return character.encode("unicode_escape").decode()
    return character
