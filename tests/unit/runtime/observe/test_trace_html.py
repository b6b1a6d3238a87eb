from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.unit.runtime.observe.recorded import Recorder, shop_run
from weft.runtime.observe import trace_html

HOSTILE = "</script><script>alert(1)</script><!--<img src=x onerror=alert(2)>&amp;\"'@DATA@\ud800é"


class Page(HTMLParser):
    """What a browser would make of the page, as far as it matters here."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.contents: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.contents.setdefault(self._open[-1], []).append(data)

    @property
    def data(self) -> Any:
        return json.loads(self.contents["script"][0])

    @property
    def is_complete(self) -> bool:
        return not self._open


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    lineage: str
    input_json: str
    output_json: str | None
    error: str = ""


def step_of(page: Page, lineage: str) -> Any:
    return next(step for step in page.data["steps"] if step["lineage"] == lineage)


def test_a_page_holds_every_step_in_tree_order_with_its_times() -> None:
    page = Page(trace_html(shop_run()))
    assert page.is_complete
    steps = page.data["steps"]
    assert [(step["name"], step["depth"], step["phase"]) for step in steps] == [
        ("answer", 0, "finished"),
        ("sql", 1, "finished"),
        ("note", 1, "failed"),
        ("rows", 1, "finished"),
    ]
    sql = step_of(page, "answer/sql")
    assert (sql["submitted_s"], sql["started_s"], sql["ended_s"]) == (0.0, 0.25, 2.0)
    assert step_of(page, "answer/rows")["inputs"] == ["answer/sql"]
    assert [step["is_critical"] for step in steps] == [False, False, True, False]
    assert ["of them cached", "30 (75%)"] in sql["figures"]
    assert ["seconds waited", "0.250"] in sql["figures"]
    assert page.contents["title"] == ["answer"]


def test_hostile_text_adds_no_markup_and_arrives_unchanged_as_data() -> None:
    tame, hostile = Page(trace_html(shop_run())), Page(trace_html(shop_run(HOSTILE)))
    assert hostile.tags == tame.tags
    assert hostile.is_complete
    assert step_of(hostile, "answer/sql")["told"] == f"SELECT 42{HOSTILE}"
    assert step_of(hostile, "answer/sql")["texts"] == [[0, f"SELECT 42{HOSTILE}"]]
    assert hostile.contents["title"] == [f"answer{HOSTILE}".replace("\ud800", "?")]


def test_the_page_is_ascii_and_loads_nothing() -> None:
    text = trace_html(shop_run(HOSTILE))
    assert text.isascii()
    page = Page(text)
    assert not {name for name, _ in page.attributes} & {"src", "href", "onclick", "onerror"}
    assert "url(" not in text
    assert "@import" not in text


def test_the_policy_allows_only_the_pages_own_style_and_script() -> None:
    page = Page(trace_html(shop_run()))
    policy = next(value for _, value in page.attributes if value and "default-src" in value)
    for tag, content in [
        ("style", page.contents["style"][0]),
        ("script", page.contents["script"][1]),
    ]:
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_details_replace_the_short_forms() -> None:
    details = [
        Detail(lineage="answer/sql", input_json='{"prompt":"all of it"}', output_json='["x"]'),
        Detail(lineage="answer/note", input_json="not json", output_json=None, error="too slow"),
    ]
    page = Page(trace_html(shop_run(), details))
    assert step_of(page, "answer/sql")["asked"] == '{\n  "prompt": "all of it"\n}'
    assert step_of(page, "answer/sql")["told"] == '[\n  "x"\n]'
    assert step_of(page, "answer/note")["asked"] == "not json"
    assert step_of(page, "answer/note")["told"] == "too slow"
    assert step_of(page, "answer/rows")["asked"] == "query"


@pytest.mark.parametrize("num_events", [0, 1, 4, 9])
def test_a_run_cut_short_still_makes_a_page(num_events: int) -> None:
    page = Page(trace_html(shop_run()[:num_events]))
    assert page.is_complete
    assert all(step["ended_s"] <= page.data["seconds"] for step in page.data["steps"])


def test_a_run_without_steps_makes_a_page() -> None:
    recorder = Recorder()
    recorder.run(0.0, "started")
    recorder.run(0.0, "failed", error="EngineDied: <b>")
    assert Page(trace_html(recorder.events)).data["steps"] == []
