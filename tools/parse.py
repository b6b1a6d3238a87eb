"""Reading Hermes tool calls, ``<tool_call>{"name": …, "arguments": …}</tool_call>``."""

from __future__ import annotations

import reprlib
from typing import NamedTuple, cast

from weft.errors import ToolArgumentsInvalid
from weft.tools.arguments import parse_json_object

__all__ = ["ParsedCall", "ParsedReply", "parse_tool_calls"]

OPEN_TAG = "<tool_call>"
CLOSE_TAG = "</tool_call>"
MAX_CALLS = 128
"""Most calls read from one reply; what follows them is one failure."""


class ParsedCall(NamedTuple):
    """A well-formed call; the tool need not exist nor its arguments fit."""

    name: str
    arguments: dict[str, object]


class ParsedReply(NamedTuple):
    """What a model wrote, taken apart."""

    text: str
    """Everything outside tool calls, as written."""
    calls: tuple[ParsedCall | ToolArgumentsInvalid, ...]
    """In order; a block that is no call is given as the error to tell the model."""


def parse_tool_calls(reply: str) -> ParsedReply:
    """Split a reply into text and calls, in time linear in its length. Never raises.

    A block ends at the first closing tag that makes it valid JSON: one inside a JSON string does
    not end it.
    """
    return _Parser(reply).parse()


class _Parser:
    def __init__(self, reply: str) -> None:
        self._reply = reply
        self._calls: list[ParsedCall | ToolArgumentsInvalid] = []
        # Every character is looked at for strings at most once: what keeps the time linear.
        self._scanned = 0

    def parse(self) -> ParsedReply:
        texts: list[str] = []
        at = 0
        while (start := self._reply.find(OPEN_TAG, at)) >= 0:
            texts.append(self._reply[at:start])
            if len(self._calls) == MAX_CALLS:
                self._calls.append(_malformed(f"is one of more than {MAX_CALLS}"))
                return ParsedReply("".join(texts), tuple(self._calls))
            at = self._read_block(start + len(OPEN_TAG))
        texts.append(self._reply[at:])
        return ParsedReply("".join(texts), tuple(self._calls))

    def _read_block(self, start: int) -> int:
        """Read the block whose JSON starts here; returns where the text goes on."""
        close = self._reply.find(CLOSE_TAG, start)
        if close < 0:
            self._calls.append(_malformed(f"has no {CLOSE_TAG}"))
            return len(self._reply)
        call = _read_call(self._reply[start:close])
        if isinstance(call, ToolArgumentsInvalid) and start >= self._scanned:
            later = self._close_outside_strings(start, close)
            again = _read_call(self._reply[start:later]) if later > close else call
            if isinstance(again, ParsedCall):
                call, close = again, later
        self._calls.append(call)
        return close + len(CLOSE_TAG)

    def _close_outside_strings(self, start: int, close: int) -> int:
        """The first closing tag outside every JSON string, -1 when there is none."""
        at = start
        while close >= 0:
            quote = self._reply.find('"', at, close)
            if quote < 0:
                self._scanned = close
                return close
            end = self._string_end(quote + 1)
            if end < 0:
                break
            at = end + 1
            close = close if close >= at else self._reply.find(CLOSE_TAG, at)
        self._scanned = len(self._reply)
        return -1

    def _string_end(self, start: int) -> int:
        """Where the JSON string that starts here has its closing quote, -1 when nowhere."""
        end = self._reply.find('"', start)
        while end >= 0:
            slashes = end
            while slashes > start and self._reply[slashes - 1] == "\\":
                slashes -= 1
            if (end - slashes) % 2 == 0:
                return end
            end = self._reply.find('"', end + 1)
        return -1


def _read_call(body: str) -> ParsedCall | ToolArgumentsInvalid:
    try:
        call = parse_json_object(body)
    except ToolArgumentsInvalid as error:
        return error
    name, arguments = call.get("name"), call.get("arguments")
    if not isinstance(name, str):
        return _malformed(f"has the name {reprlib.repr(name)}")
    if not isinstance(arguments, dict):
        return _malformed(f"has the arguments {reprlib.repr(arguments)}", name)
    if len(call) > 2:
        extra = sorted(call.keys() - {"name", "arguments"})
        return _malformed(f"has the extra keys {reprlib.repr(extra)}", name)
    return ParsedCall(name, cast("dict[str, object]", arguments))


def _malformed(what: str, tool: str = "") -> ToolArgumentsInvalid:
    return ToolArgumentsInvalid(
        f"A tool call {what}.",
        tool=tool,
        remedy=f'Write {OPEN_TAG}{{"name": …, "arguments": {{…}}}}{CLOSE_TAG}.',
    )
