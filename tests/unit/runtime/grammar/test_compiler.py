from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.grammars import TOOLS, choices, ebnf, regex, schema
from tests.support.tiny import build_tokenizer
from weft.errors import GrammarRejected
from weft.programs.grammar import GrammarSpec
from weft.programs.tool_calls import tool_call_tag
from weft.runtime.grammar import (
    CompiledGrammar,
    GrammarCompiler,
    GrammarLimits,
    GrammarStats,
)

VOCAB_SIZE = 420
LIMITS = GrammarLimits(compile_seconds=4.0, cache_bytes=4 << 20)


def make(limits: GrammarLimits = LIMITS) -> GrammarCompiler:
    return GrammarCompiler(build_tokenizer(), VOCAB_SIZE, [2], limits=limits)


@pytest.fixture(scope="module")
def compiler() -> Iterator[GrammarCompiler]:
    compiler = make()
    compiler.warm()
    yield compiler
    compiler.close()


def allows(grammar: CompiledGrammar, text: str) -> bool:
    matcher = grammar.matcher()
    return matcher.handle.accept_string(text) and matcher.is_completed


def test_what_is_known_is_not_compiled_again() -> None:
    compiler = make()
    first = compiler.compile(choices("a", "b"))
    assert compiler.compile(choices("a", "b")) is first
    for _ in range(2):
        with pytest.raises(GrammarRejected, match="'not' is not enforced"):
            compiler.compile(schema({"not": {}}))
    stats = compiler.stats()
    assert (stats.num_hits, stats.num_misses, stats.num_kept) == (2, 2, 2)


def test_json_comes_in_one_spacing() -> None:
    compiler = make()
    wanted = {"type": "object", "properties": {"a": {"type": "array"}}, "required": ["a"]}
    grammar = compiler.compile(schema(wanted))
    assert allows(grammar, '{"a": [1, {"b": 2, "c": null}]}')
    for text in ('{"a":[]}', '{ "a": []}', '{"a": [1,2]}', '{"a": []}\n', '{"a": [{"b":2}]}'):
        assert not allows(grammar, text)


def test_any_json_is_any_json() -> None:
    grammar = make().compile(GrammarSpec(kind="json"))
    for text in ("1", '"é"', "null", "[]", "{}", '{"a": [1, -2.5e3, true]}'):
        assert allows(grammar, text)
    for text in ('{"a":1}', "[1,2]", "nul"):
        assert not allows(grammar, text)


def test_choices_are_literal() -> None:
    grammar = make().compile(choices('a"b\\', "é\n", "[x]", "\u2028"))
    assert all(allows(grammar, text) for text in ('a"b\\', "é\n", "[x]", "\u2028"))
    assert not allows(grammar, "x")


def test_ever_new_grammars_stay_under_the_cap() -> None:
    """What is kept levels off, although every description is new."""
    compiler = make(GrammarLimits(cache_bytes=100_000))
    kept: list[GrammarStats] = []
    for number in range(600):
        compiler.compile(choices(f"choice {number}"))
        kept.append(compiler.stats())
    assert max(stats.kept_bytes for stats in kept) <= 100_000
    assert kept[-1].num_kept < 400
    assert abs(kept[-1].num_kept - kept[-200].num_kept) <= 2


def test_threads_that_ask_for_the_same_compile_it_once() -> None:
    compiler = make()
    properties = {f"p{i}": {"type": "null"} for i in range(20)}
    spec = schema({"type": "object", "properties": properties})
    with ThreadPoolExecutor(8) as threads:
        grammars = list(threads.map(compiler.compile, [spec] * 16))
    assert all(grammar is grammars[0] for grammar in grammars)
    assert compiler.stats().num_misses == 1


INVALID = [
    (ebnf("root ::= root"), "no finite output"),
    (ebnf('root ::= "a" root'), "no finite output"),
    (ebnf('root ::= a\na ::= "x" b\nb ::= a | b "y"'), "no finite output"),
    (schema({"$ref": "#"}), "no finite output"),
    (
        schema(
            {
                "$ref": "#/$defs/N",
                "$defs": {
                    "N": {
                        "type": "object",
                        "properties": {"n": {"$ref": "#/$defs/N"}},
                        "required": ["n"],
                    }
                },
            }
        ),
        "no finite output",
    ),
    (ebnf("root ::= missing"), 'Rule "missing" is not defined'),
    (ebnf('start ::= "a"'), "root rule"),
    (ebnf("root ::= " + "(" * 10_000 + '"a"' + ")" * 10_000), "[Nn]est"),
    (regex("("), "parenthesis is not closed"),
    (ebnf("root ::= " + '((("a"{1,1000}){1,1000}){1,1000}){1,1000}'), "One mask took|stopped"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "message"), INVALID, ids=lambda v: str(v)[:60])
def test_bad_grammars_are_refused_and_the_worker_serves_on(
    compiler: GrammarCompiler, spec: GrammarSpec, message: str
) -> None:
    with pytest.raises(GrammarRejected, match=message):
        compiler.compile(spec)
    assert allows(compiler.compile(regex("[a-z]+")), "served")


@pytest.mark.slow
def test_a_costly_schema_is_killed_in_time_and_the_next_one_served(
    compiler: GrammarCompiler,
) -> None:
    """Two thousand optional properties: seconds to minutes of compilation for 45 kB."""
    compiler.compile(regex("ready"))
    properties = {f"p{i}": {"type": "null"} for i in range(2000)}
    started = time.monotonic()
    with pytest.raises(GrammarRejected, match="longer than 4 s|too large|memory"):
        compiler.compile(schema({"type": "object", "properties": properties}))
    assert time.monotonic() - started < 8
    assert compiler.stats().num_kills == 1
    assert allows(compiler.compile(regex("[0-9]+")), "42")


@pytest.mark.slow
def test_big_but_lawful_descriptions_compile(compiler: GrammarCompiler) -> None:
    grammar = compiler.compile(schema({"enum": [f"value {i}" for i in range(1024)]}))
    assert allows(grammar, '"value 1023"')
    assert not allows(grammar, '"value 1024"')
    long = compiler.compile(schema({"type": "string", "minLength": 256, "maxLength": 10_000}))
    assert not allows(long, '"' + "a" * 255 + '"')
    assert allows(long, '"' + "a" * 256 + '"')


@pytest.mark.slow
def test_tool_calls_follow_the_tools(compiler: GrammarCompiler) -> None:
    add = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": -2}}\n</tool_call>'
    look = '<tool_call>\n{"name": "look", "arguments": {"key": "x"}}\n</tool_call>'
    free = compiler.compile(tool_call_tag(TOOLS))
    needed = compiler.compile(tool_call_tag(TOOLS, required=True))
    named = compiler.compile(tool_call_tag(TOOLS, required="look"))
    table = {
        "just text": (True, False, False),
        add: (True, True, False),
        look: (True, True, True),
        f"First: {add} then {look}": (True, False, False),
        f"{look}\n{add}": (True, True, False),
        add.replace('"b": -2', '"b":-2'): (False, False, False),
        add.replace("add", "sub"): (False, False, False),
        look.replace('"x"', '"z"'): (False, False, False),
        "": (True, False, False),
    }
    for text, expected in table.items():
        assert tuple(allows(grammar, text) for grammar in (free, needed, named)) == expected


@pytest.mark.slow
def test_what_xgrammar_ignores_is_refused(compiler: GrammarCompiler) -> None:
    """A tag's own grammars are not checked here, so its warnings are what tells."""
    tag = '{"type": "structural_tag", "format": {"type": "json_schema", "json_schema": {}}}'
    assert allows(compiler.compile(GrammarSpec(kind="structural_tag", text=tag)), '{"a": 1}')
    with pytest.raises(GrammarRejected, match="cannot be enforced in full|not valid"):
        compiler.compile(regex("a(?#note)b$c|(?>x)"))


@pytest.mark.slow
def test_the_worker_sees_no_secrets_and_dies_with_its_owner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WEFT_TEST_SECRET", "s3cret")
    compiler = make()
    compiler.warm()
    pid = compiler.worker_pid
    assert pid is not None
    while not (environment := Path(f"/proc/{pid}/environ").read_bytes()):
        pass
    assert b"s3cret" not in environment
    compiler.close()
    assert compiler.worker_pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
