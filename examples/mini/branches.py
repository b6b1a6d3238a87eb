"""Branches from one prompt that do not see each other, and a join that sees them all."""

import json
from collections.abc import Mapping, Sequence
from random import Random

from examples.mini.chat_tokenizer import ChatTokenizer
from examples.mini.documents import Document
from examples.mini.outline import Outline
from examples.mini.problem import Problem
from examples.mini.segments import Seen, Segment, continued, stream
from examples.mini.tokenizer import TURN_END

CALL = "<tool_call>\n"
SKELETON_SHARE = 0.3

Written = tuple[str, ...]
"""A text in parts that are encoded one by one: a grammar ends a value where a part ends."""


def name_head() -> str:
    """What stands before a tool's name when it is decoded by itself."""
    return f'{CALL}{{"name": '


def argument_head(argument: str) -> str:
    """What stands before an argument when it is decoded together with the tool's name."""
    return f'{CALL}{{"arguments": {{{json.dumps(argument)}: '


def skeleton(name: str, argument: str) -> str:
    """What stands before an argument when the tool's name is known."""
    return f'{CALL}{{"name": {json.dumps(name)}, "arguments": {{{json.dumps(argument)}: '


def call_branches(problem: Problem, *, has_heads: bool) -> dict[str, Written]:
    """Map the head of every branch of a problem's tool call to what the branch writes."""
    name, arguments = problem.check["name"], problem.check["arguments"]
    assert isinstance(name, str) and isinstance(arguments, Mapping)
    values = {key: json.dumps(value) for key, value in arguments.items()}
    if not has_heads:
        return {skeleton(name, key): (value, "}}\n</tool_call>") for key, value in values.items()}
    heads = {argument_head(key): (value, "}") for key, value in values.items()}
    return {name_head(): (json.dumps(name), "}"), **heads}


class BranchEncoder:
    """Turns outlines and tool calls into documents of a prompt and its branches."""

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self._tokenizer = tokenizer
        self.end_id = tokenizer.convert_tokens_to_ids(TURN_END)

    def prompt(self, problem: Problem) -> list[int]:
        """Encode a problem's prompt up to where the assistant begins."""
        text = self._tokenizer.apply_chat_template(
            problem.messages[: problem.num_prompt],
            tools=problem.tools,
            tokenize=False,
            add_generation_prompt=True,
        )
        return self._tokenizer.encode(text)

    def encode(self, *parts: str) -> list[int]:
        """Encode parts of a text one by one."""
        return [token for part in parts for token in self._tokenizer.encode(part)]

    def call(self, rng: Random, problem: Problem) -> list[Segment]:
        """Branch into the parts of a tool call: by heads, or by the skeleton of a usual call."""
        branches = call_branches(problem, has_heads=rng.random() >= SKELETON_SHARE)
        prompt, count = self.prompt(problem), 1 + len(branches)
        segments = [stream(Document(ids=prompt, targets=[]), 0, (), count)]
        trunk = Seen(0, len(prompt), len(prompt))
        for number, (head, parts) in enumerate(branches.items(), 1):
            document = self._branch(head, *parts, end_id=self.end_id)
            segments.append(stream(document, number, (trunk,), count))
        return segments

    def outline(self, rng: Random, item: Outline, prompt: list[int]) -> list[Segment]:
        """Plan, branch, conclude.

        Whether the last token of a branch is there for the conclusion depends on who decodes: it
        is left out as often as not.
        """
        ids = [*prompt, *self.encode(item.plan)]
        goal, last = len(ids), 1 + len(item.paths)
        plan = continued(ids, len(prompt), None)
        segments = [stream(plan, 0, (), last + 1)]
        for number, (head, path) in enumerate(zip(item.heads, item.paths, strict=True), 1):
            document = self._branch(head, path, end_id=None)
            segments.append(stream(document, number, (Seen(0, goal, goal),), last + 1))
        dropped = rng.randrange(2)
        conclusion = self._branch(item.join, item.conclusion, end_id=self.end_id)
        earlier = joined(goal, [len(each.document.ids) - dropped for each in segments[1:]])
        return [*segments, stream(conclusion, last, earlier, last + 1)]

    def _branch(self, head: str, *parts: str, end_id: int | None) -> Document:
        given = self.encode(head)
        return continued([*given, *self.encode(*parts)], len(given), end_id)


def joined(goal: int, lengths: Sequence[int]) -> list[Seen]:
    """How a conclusion sees its plan, of `goal` tokens, and branches that all begin at its end:
    the conclusion begins where the longest of them ends."""
    longest = max(lengths)
    branches = (Seen(number, longest, length) for number, length in enumerate(lengths, 1))
    return [Seen(0, goal + longest, goal), *branches]
