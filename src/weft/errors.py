"""Every error weft raises, in one tree, sorted by who caused it.

    WeftError
    ├── CallerError                 the code or the person calling weft
    │   ├── InvalidRequest          a value out of range, a prompt too long, a bad token id
    │   ├── UnsupportedFeature      the engine cannot do what the program asks
    │   ├── ModelLoadError          a checkpoint that is missing, unsupported or damaged
    │   ├── GrammarRejected         a schema, regex or grammar that cannot be enforced
    │   ├── ToolDefinitionError     a function that cannot become a tool
    │   └── ProgramError            a program used wrongly
    │       ├── StepFormatted       an un-awaited Step put into text
    │       ├── StepUnused          a Step neither awaited nor consumed
    │       ├── StepOutsideRun      a Step created where no Run is active
    │       └── WrongReturnType     a program returned something its annotation forbids
    ├── ModelError                  the model's own output
    │   ├── OutputInvalid           text that does not validate as the wanted type
    │   ├── OutputTruncated         the token limit came before the grammar was complete
    │   └── GrammarDeadEnd          the grammar left no token that could come next
    ├── ToolError                   a tool the program called
    │   ├── ToolNotFound            the model named a tool that is not there
    │   ├── ToolArgumentsInvalid    arguments that do not fit the signature
    │   ├── ToolFailed              the tool raised
    │   ├── ToolTimeout             the tool did not answer in time
    │   ├── ToolUnavailable         too many earlier calls of the tool still hang
    │   ├── ToolResultInvalid       a result that is not data
    │   ├── SandboxUnavailable      the machine cannot confine code, so it is not run
    │   └── EnvironmentFailed       what a tool or a program needs could not be prepared
    ├── LimitReached                a limit that the program set
    │   ├── BudgetExceeded          a Budget ran out
    │   └── StepTimeout             a Step took longer than its timeout
    ├── EngineError                 the engine itself
    │   ├── EngineClosed            submitted after close
    │   ├── EngineOverloaded        no room, try later
    │   ├── EngineDied              the engine's loop stopped; the cause is chained
    │   ├── LogitsInvalid           the model computed numbers that cannot be drawn from
    │   └── PeerFailed              an engine or framework that a bench compares with
    └── JournalError                stored state
        ├── JournalCorrupt          what was read cannot be what was written
        └── ReplayMismatch          the program no longer matches its record

Cancellation is not an error: it stays ``asyncio.CancelledError``.
"""

from __future__ import annotations

from typing import Self

__all__ = [
    "BudgetExceeded",
    "CallerError",
    "EngineClosed",
    "EngineDied",
    "EngineError",
    "EngineOverloaded",
    "EnvironmentFailed",
    "GrammarDeadEnd",
    "GrammarRejected",
    "InvalidRequest",
    "JournalCorrupt",
    "JournalError",
    "LimitReached",
    "LogitsInvalid",
    "ModelError",
    "ModelLoadError",
    "OutputInvalid",
    "OutputTruncated",
    "PeerFailed",
    "ProgramError",
    "ReplayMismatch",
    "SandboxUnavailable",
    "StepFormatted",
    "StepOutsideRun",
    "StepTimeout",
    "StepUnused",
    "ToolArgumentsInvalid",
    "ToolDefinitionError",
    "ToolError",
    "ToolFailed",
    "ToolNotFound",
    "ToolResultInvalid",
    "ToolTimeout",
    "ToolUnavailable",
    "UnsupportedFeature",
    "WeftError",
    "WrongReturnType",
]


class WeftError(Exception):
    """The root: what was wrong, what was got, what to do.

    ``what`` is a full sentence with the offending value; ``remedy`` says what to do next.
    """

    def __init__(self, what: str, *, remedy: str = "") -> None:
        super().__init__(f"{what} {remedy}".rstrip())
        self.what = what
        self.remedy = remedy

    def within(self, place: str) -> Self:
        """The same error, which says first where it was met. Raise it from this one."""
        named = type(self).__new__(type(self))
        named.__dict__.update(self.__dict__)
        named.what = f"{place}: {self.what}"
        named.args = (f"{named.what} {self.remedy}".rstrip(),)
        return named


class CallerError(WeftError):
    """The calling code or person must change something; retrying as is cannot help."""


class InvalidRequest(CallerError):
    """A request holds a value that no engine could serve."""


class UnsupportedFeature(CallerError):
    """The chosen engine lacks a capability that the program needs."""


class ModelLoadError(CallerError):
    """A checkpoint is missing, of an unsupported architecture, or damaged."""


class GrammarRejected(CallerError):
    """A schema, regex or grammar is invalid, unsupported, or beyond the caps."""


class ToolDefinitionError(CallerError):
    """A function cannot become a tool: an argument without a type, a type without a schema."""


class ProgramError(CallerError):
    """The program uses the DSL in a way that cannot be meant."""


class StepFormatted(ProgramError):
    """An un-awaited Step was formatted into text; pass it as a prompt part, or await it."""


class StepUnused(ProgramError):
    """A Step was neither awaited nor consumed when its scope ended."""


class StepOutsideRun(ProgramError):
    """A Step was created where no Run is active."""


class WrongReturnType(ProgramError):
    """A program's result does not validate against its return annotation."""


class ModelError(WeftError):
    """The model wrote something the program cannot use."""


class OutputInvalid(ModelError):
    """Generated text does not validate as the wanted type."""


class OutputTruncated(ModelError):
    """The token limit was reached before constrained output was complete."""


class GrammarDeadEnd(ModelError):
    """No token of the vocabulary could come next under the grammar."""


class ToolError(WeftError):
    """A tool call did not give a result. ``tool`` is its name."""

    def __init__(self, what: str, *, tool: str, remedy: str = "") -> None:
        super().__init__(what, remedy=remedy)
        self.tool = tool


class ToolNotFound(ToolError):
    """No tool of that name is registered."""


class ToolArgumentsInvalid(ToolError):
    """The arguments do not fit the tool's signature."""


class ToolFailed(ToolError):
    """The tool raised; the cause is chained."""


class ToolTimeout(ToolError):
    """The tool did not answer within its timeout."""


class ToolUnavailable(ToolError):
    """So many earlier calls of the tool hang that no further one may start."""


class ToolResultInvalid(ToolError):
    """The tool returned something that cannot be recorded as data."""


class SandboxUnavailable(ToolError):
    """The machine cannot confine the code, or no longer does, so it was not run to an end."""

    def __init__(self, what: str, *, tool: str = "sandbox", remedy: str = "") -> None:
        super().__init__(what, tool=tool, remedy=remedy)


class EnvironmentFailed(ToolError):
    """What a tool or a program declared to need could not be prepared, or is gone."""

    def __init__(self, what: str, *, tool: str = "environment", remedy: str = "") -> None:
        super().__init__(what, tool=tool, remedy=remedy)


class LimitReached(WeftError):
    """A limit that the program itself set was reached."""


class BudgetExceeded(LimitReached):
    """A Budget ran out. ``resource`` names which part of it."""

    def __init__(self, what: str, *, resource: str, remedy: str = "") -> None:
        super().__init__(what, remedy=remedy)
        self.resource = resource


class StepTimeout(LimitReached):
    """A Step took longer than its timeout, retries included."""


class EngineError(WeftError):
    """The engine could not serve a request that was itself in order."""


class EngineClosed(EngineError):
    """The engine was closed before or while the request was served."""


class EngineOverloaded(EngineError):
    """The engine has no room for the request now; trying later can help."""


class EngineDied(EngineError):
    """The engine's loop stopped on an unexpected error, chained as the cause."""


class LogitsInvalid(EngineError):
    """One sequence's logits are not numbers; the other sequences are not affected."""


class PeerFailed(EngineError):
    """A contender of a bench did not start, answered with an error, or answered too late.

    ``peer`` says which one.
    """

    def __init__(self, what: str, *, peer: str, remedy: str = "") -> None:
        super().__init__(what, remedy=remedy)
        self.peer = peer


class JournalError(WeftError):
    """Stored state could not be read or written."""


class JournalCorrupt(JournalError):
    """A record does not decode, or its checksum does not match."""


class ReplayMismatch(JournalError):
    """A recorded run no longer matches the program that should continue it."""
