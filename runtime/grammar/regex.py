"""Which regular expressions are enforced, and how costly they may be."""

from __future__ import annotations

import re

from weft.errors import GrammarRejected
from weft.runtime.grammar.limits import GrammarLimits

__all__ = ["check_regex"]

_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*+\]|\(\?<?[=!]|\(\?[:P<][^>:=!)]*[>:]?|\(|\)"
    r"|\{(\d+)(,?)(\d*)\}|\*|\+",
    re.DOTALL,
)
_LOOKAROUNDS = ("(?=", "(?!", "(?<=", "(?<!")


def check_regex(pattern: str, limits: GrammarLimits) -> None:
    """One pass over the pattern, in linear time.

    Raises: GrammarRejected for a pattern that is too long, nests too deeply, repeats too often,
    or looks around, refers back or asks for word boundaries, none of which is enforced.
    """
    if len(pattern) > limits.max_regex_length:
        raise GrammarRejected(
            f"The regular expression has {len(pattern)} characters.",
            remedy=f"At most {limits.max_regex_length} are allowed.",
        )
    _Cost(pattern, limits).check()


class _Cost:
    """Walks the pattern's tokens and keeps, per open group, the most its inside repeats."""

    def __init__(self, pattern: str, limits: GrammarLimits) -> None:
        self._pattern = pattern
        self._limits = limits
        self._open = [1]
        self._last = 1
        """Repetitions inside the atom just read."""

    def check(self) -> None:
        for match in _TOKEN.finditer(self._pattern):
            token = match.group()
            if token.startswith("("):
                self._enter(token)
            elif token == ")":
                self._leave()
            elif token.startswith("{"):
                self._repeat(token, int(match[1]), match[3])
            elif token in ("\\b", "\\B") or (token[0] == "\\" and token[1] in "123456789"):
                raise self._rejected(f"{token!r} is not enforced", "Write it without.")
            elif token not in "*+":
                self._last = 1

    def _enter(self, token: str) -> None:
        if token in _LOOKAROUNDS:
            raise self._rejected(f"{token!r} is not enforced", "Write it without looking around.")
        self._open.append(1)
        if len(self._open) > self._limits.max_depth:
            raise self._rejected(f"it nests deeper than {self._limits.max_depth}", "Flatten it.")

    def _leave(self) -> None:
        if len(self._open) > 1:
            self._last = self._open.pop()

    def _repeat(self, token: str, least: int, most: str) -> None:
        bound = max(least, int(most or 0), 1)
        self._last *= bound
        limits = self._limits
        if least > limits.max_least:
            raise self._rejected(
                f"{token} repeats at least {least} times", f"Ask for {limits.max_least} at most."
            )
        if bound > limits.max_count or self._last > limits.max_repetitions:
            raise self._rejected(
                f"{token} repeats up to {self._last} times in all",
                f"At most {limits.max_repetitions} are allowed, {limits.max_count} at one place.",
            )
        self._open[-1] = max(self._open[-1], self._last)

    def _rejected(self, problem: str, remedy: str) -> GrammarRejected:
        return GrammarRejected(
            f"In the regular expression {self._pattern[:80]!r}, {problem}.", remedy=remedy
        )
