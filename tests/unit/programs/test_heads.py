"""How parts of a call begin and end, held to the grammars they are decoded under."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator

import pytest

from tests.support.tiny import build_tokenizer
from weft.errors import OutputInvalid, OutputTruncated
from weft.programs import HEADS, SKELETON, Control, HeadForm
from weft.programs.output import Output
from weft.programs.tool_calls import tool_call_tag
from weft.runtime.grammar import GrammarCompiler

TOKENIZER = build_tokenizer()
END_ID = 2

Accepts = Callable[[Output[str], str], bool]


@pytest.fixture(scope="module")
def accepts() -> Generator[Accepts]:
    """Whether the grammar of an output takes a text and then allows nothing but the end."""
    compiler = GrammarCompiler(TOKENIZER, len(TOKENIZER), [END_ID])

    def take(output: Output[str], text: str) -> bool:
        assert output.grammar is not None
        matcher = compiler.compile(output.grammar).matcher()
        ids: list[int] = TOKENIZER.backend_tokenizer.encode(text).ids
        is_taken = all(matcher.accept(token_id) for token_id in ids)
        goes_on = any(matcher.fork().accept(i) for i in range(len(TOKENIZER)) if i != END_ID)
        return is_taken and matcher.is_completed and not goes_on

    yield take
    compiler.close()


def test_leads_spell_the_form_that_calls_have() -> None:
    call = '<tool_call>\n{"name": "f", "arguments": {"x":'
    assert SKELETON.lead_to_name() == (Control("<tool_call>"), '\n{"name":')
    lead = SKELETON.lead_to_argument("f", "x")
    assert isinstance(lead, tuple)
    begin, *texts = lead
    assert begin == Control("<tool_call>")
    assert "<tool_call>" + "".join(map(str, texts)) == call
    tag = tool_call_tag([{"name": "f", "parameters": {}}], required=True).text
    assert json.loads(tag)["format"]["tags"][0]["begin"] == call.removesuffix('{"x":')


def test_heads_need_no_name_and_their_leads_hold_the_space() -> None:
    assert HEADS.lead_to_name() == (Control("<tool_call>"), '\n{"name": ')
    assert HEADS.lead_to_argument("f", "x")[1:] == ('\n{"arguments": {', '"x": ')
    assert SKELETON.names_tool and not HEADS.names_tool


INTEGER, STRING = {"type": "integer"}, {"type": "string"}


@pytest.mark.parametrize(
    ("form", "schema", "text", "member"),
    [
        (SKELETON, INTEGER, " 12,", '"x": 12, '),
        (SKELETON, INTEGER, " 12}}", '"x": 12, '),
        (SKELETON, STRING, ' "a, }",', '"x": "a, }", '),
        (SKELETON, STRING, ' "a\\"}}"}}', '"x": "a\\"}}", '),
        (SKELETON, {"type": "object", "properties": {}}, " {}}}", '"x": {}, '),
        (HEADS, INTEGER, "-3}", '"x": -3, '),
        (HEADS, STRING, '""}', '"x": "", '),
        (HEADS, {"anyOf": [INTEGER, {"type": "null"}]}, "null}", ""),
        (HEADS, {"anyOf": [INTEGER, {"type": "null"}]}, "0}", '"x": 0, '),
        (HeadForm(argument_ends=("}", "}}")), {"type": "boolean"}, " true}}", '"x": true, '),
    ],
)
def test_a_value_is_read_without_its_end(
    accepts: Accepts, form: HeadForm, schema: dict[str, object], text: str, member: str
) -> None:
    output = form.member_output("x", schema, is_left_out_as_null=True)
    assert accepts(output, text)
    assert output.read(text, "stop") == output.read(text, "length") == member


@pytest.mark.parametrize("text", [" 12", "12,", " 12},", " 12,,", ' "a",', " null,"])
def test_the_grammar_holds_the_value_to_its_schema_and_its_end(accepts: Accepts, text: str) -> None:
    assert not accepts(SKELETON.member_output("x", INTEGER, is_left_out_as_null=False), text)


def test_null_is_a_value_where_it_does_not_stand_for_absence() -> None:
    output = SKELETON.member_output("x", {"type": "null"}, is_left_out_as_null=False)
    assert output.read(" null,", "stop") == '"x": null, '


def test_what_breaks_off_is_truncated_and_what_is_no_json_invalid() -> None:
    output = SKELETON.member_output("x", STRING, is_left_out_as_null=False)
    with pytest.raises(OutputTruncated, match="the argument 'x'"):
        output.read(' "a', "length")
    with pytest.raises(OutputInvalid, match="the argument 'x'"):
        output.read(" a,", "stop")


@pytest.mark.parametrize("form", [SKELETON, HEADS])
def test_a_name_is_one_of_the_names(accepts: Accepts, form: HeadForm) -> None:
    output = form.name_output(["book", "book_trip"])
    gap, end = form.gap, form.name_ends[0]
    for name in ("book", "book_trip"):
        text = f'{gap}"{name}"{end}'
        assert accepts(output, text)
        assert output.read(text, "stop") == name
    assert not accepts(output, f'{gap}"book_"{end}')
    assert not accepts(output, f'{gap}"book"')
