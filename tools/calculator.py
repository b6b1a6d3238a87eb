"""Exact arithmetic on an expression a model wrote."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import NamedTuple, NoReturn

from weft.errors import ToolFailed
from weft.tools.tool import Tool, as_tool

__all__ = ["calculate", "calculator_tool", "evaluate"]

MAX_LENGTH = 1_000
MAX_DEPTH = 50
MAX_BITS = 4_096
"""Most bits a numerator or a denominator may take at any point."""
MAX_EXPONENT = 1_000
_NAME = "calculator"
_TOKEN = re.compile(r"\s*(?:(\d+\.\d*|\.\d+|\d+)|(\*\*|//|[-+*/%()]))", re.ASCII)
_SPACE = re.compile(r"\s*", re.ASCII)


def calculator_tool() -> Tool[[str], str]:
    """``calculate`` as a tool called ``calculator``."""
    return as_tool(calculate, name=_NAME, effect="pure", timeout_s=5.0)


def calculate(expression: str) -> str:
    """Calculate an expression.

    Args:
        expression: Numbers with + - * / // % ** and parentheses.
    """
    return _write(evaluate(expression))


def evaluate(expression: str) -> Fraction:
    """The exact value of an expression: decimal numbers, ``+ - * / // % **``, parentheses.

    Signs and precedence are Python's. An exponent must be a whole number. Nothing is ever
    evaluated as code. Raises ToolFailed for anything else, for a division by zero, and for sizes
    beyond the caps, which are checked before the work is done.
    """
    if len(expression) > MAX_LENGTH:
        _refuse(f"The expression has {len(expression)} characters", f"{MAX_LENGTH} are allowed.")
    return _Reader(_tokens(expression)).read()


class _Token(NamedTuple):
    text: str
    at: int
    """Character offset in the expression, for messages."""
    is_number: bool


def _tokens(expression: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while match := _TOKEN.match(expression, at):
        number, sign = match.groups()
        text = number or sign
        at = match.end()
        tokens.append(_Token(text, at - len(text), bool(number)))
    at = match.end() if (match := _SPACE.match(expression, at)) else at
    if at < len(expression):
        _refuse(f"Character {expression[at]!r} at {at} is not arithmetic", "Use + - * / // % **.")
    return [*tokens, _Token("", at, False)]


class _Reader:
    """Recursive descent; the depth is bounded, chains of one precedence are loops."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def read(self) -> Fraction:
        value = self._sum()
        if self._next.text:
            self._unexpected()
        return value

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, *wanted: str) -> str:
        """The next token if it is one of these, else nothing."""
        text = self._next.text
        if text not in wanted:
            return ""
        self._at += 1
        return text

    def _sum(self) -> Fraction:
        value = self._product()
        while sign := self._take("+", "-"):
            value = _apply(sign, value, self._product())
        return value

    def _product(self) -> Fraction:
        value = self._signed()
        while sign := self._take("*", "/", "//", "%"):
            value = _apply(sign, value, self._signed())
        return value

    def _signed(self) -> Fraction:
        """A power with its signs; ``-2 ** 2`` is -4 and ``2 ** -1`` is a half."""
        is_negative = False
        while sign := self._take("+", "-"):
            is_negative ^= sign == "-"
        value = self._power()
        return -value if is_negative else value

    def _power(self) -> Fraction:
        base = self._atom()
        if not self._take("**"):
            return base
        self._enter()
        exponent = self._signed()
        self._depth -= 1
        return _raise(base, exponent)

    def _atom(self) -> Fraction:
        token = self._next
        if token.is_number:
            self._at += 1
            return _checked(Fraction(token.text))
        if not self._take("("):
            self._unexpected()
        self._enter()
        value = self._sum()
        self._depth -= 1
        if not self._take(")"):
            self._unexpected()
        return value

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            _refuse("The expression is nested too deeply", f"{MAX_DEPTH} levels are allowed.")

    def _unexpected(self) -> NoReturn:
        token = self._next
        got = repr(token.text) if token.text else "the end"
        _refuse(f"Got {got} at {token.at}, where it cannot stand", "Complete the expression.")


def _divide(left: Fraction, right: Fraction) -> Fraction:
    return left / right


def _floor_divide(left: Fraction, right: Fraction) -> Fraction:
    return Fraction(left // right)


_OPERATIONS: Mapping[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "//": _floor_divide,
    "%": operator.mod,
}


def _apply(sign: str, left: Fraction, right: Fraction) -> Fraction:
    if sign in ("/", "//", "%") and not right:
        _refuse(f"{_write(left)} {sign} 0 has no value", "Divide by something else.")
    return _checked(_OPERATIONS[sign](left, right))


def _raise(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1 or abs(exponent) > MAX_EXPONENT:
        rule = f"It must be whole, from -{MAX_EXPONENT} to {MAX_EXPONENT}."
        _refuse(f"The exponent is {_write(exponent)}", rule)
    if not base and exponent < 0:
        _refuse("0 to a negative power has no value", "Use another base.")
    if _num_bits(base) * abs(exponent) > 2 * MAX_BITS:
        _refuse("The power is too large", f"Numbers may take {MAX_BITS} bits.")
    return _checked(base ** int(exponent))


def _checked(value: Fraction) -> Fraction:
    if _num_bits(value) > MAX_BITS:
        _refuse("A value is too large", f"Numbers may take {MAX_BITS} bits.")
    return value


def _num_bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _write(value: Fraction) -> str:
    """A whole number, a decimal where it ends, else a fraction in lowest terms."""
    rest, twos, fives = value.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1 or value.denominator == 1:
        return str(value)
    num_places = max(twos, fives)
    digits = str(abs(value.numerator) * 10**num_places // value.denominator)
    digits = digits.rjust(num_places + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[:-num_places]}.{digits[-num_places:]}"


def _refuse(what: str, remedy: str) -> NoReturn:
    raise ToolFailed(f"{what}.", tool=_NAME, remedy=remedy)
