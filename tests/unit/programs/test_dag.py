"""The DAG against examples worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from xml.etree import ElementTree

import networkx as nx
import pytest

from weft.errors import InvalidRequest
from weft.programs import (
    Node,
    build_dag,
    critical_path,
    draw_mermaid,
    draw_svg,
    from_node_link,
    gen,
    pmap,
    program,
    step,
    to_node_link,
)


def node(lineage: str, seconds: float = 0.0, **more: object) -> Node:
    parent = lineage.rpartition("/")[0]
    name = lineage.rsplit("/", 1)[-1]
    fields = {"name": name, "kind": "step", "parent": parent, **more}
    return Node(lineage=lineage, seconds=seconds, **fields)  # type: ignore[arg-type]


def diamond() -> nx.DiGraph[str]:
    """a(1) → b(5), c(2) → d(1) by data, and e(3) after d by order."""
    return build_dag(
        [
            node("p", 10.5, kind="program"),
            node("p/a", 1.0),
            node("p/b", 5.0, inputs=("p/a",)),
            node("p/c", 2.0, inputs=("p/a",)),
            node("p/d", 1.0, inputs=("p/b", "p/c")),
            node("p/e", 3.0, after=("p/d",)),
        ]
    )


def test_critical_path_of_a_diamond() -> None:
    path = critical_path(diamond())
    assert path.lineages == ("p/a", "p/b", "p/d", "p/e")
    assert path.length == 10.0


def test_critical_path_goes_through_enclosed_steps() -> None:
    # a(1), then s which holds x(2) → y(3) and z(4), then b(1): 1 + max(2 + 3, 4) + 1.
    graph = build_dag(
        [
            node("p"),
            node("p/a", 1.0),
            node("p/s", 99.0, after=("p/a",)),
            node("p/s/x", 2.0),
            node("p/s/y", 3.0, after=("p/s/x",)),
            node("p/s/z", 4.0),
            node("p/b", 1.0, inputs=("p/s",)),
        ]
    )
    path = critical_path(graph)
    assert path.lineages == ("p/a", "p/s/x", "p/s/y", "p/b")
    assert path.length == 7.0


def test_an_edge_into_an_enclosed_step_counts_for_what_encloses_it() -> None:
    graph = build_dag(
        [
            node("p"),
            node("p/a", 2.0),
            node("p/s"),
            node("p/s/x", 3.0, inputs=("p/a",)),
            node("p/c", 4.0),
        ]
    )
    assert critical_path(graph) == (("p/a", "p/s/x"), 5.0)


def test_critical_path_by_another_weight() -> None:
    graph = build_dag([node("a", 1.0, num_tokens=5), node("b", 9.0, num_tokens=2)])
    assert critical_path(graph, "num_tokens") == (("a",), 5.0)


def test_critical_path_of_nothing() -> None:
    assert critical_path(nx.DiGraph()) == ((), 0.0)


def test_a_cycle_is_refused() -> None:
    graph = build_dag([node("a", inputs=("b",)), node("b", inputs=("a",))])
    with pytest.raises(InvalidRequest, match="cycle"):
        critical_path(graph)


def test_mermaid_of_the_diamond() -> None:
    assert draw_mermaid(diamond()) == (
        "flowchart TD\n"
        '    subgraph s0["p"]\n'
        '        s1["a"]\n'
        '        s2["b"]\n'
        '        s3["c"]\n'
        '        s4["d"]\n'
        '        s5["e"]\n'
        "    end\n"
        "    s1 --> s2\n"
        "    s1 --> s3\n"
        "    s2 --> s4\n"
        "    s3 --> s4\n"
        "    s4 -.-> s5\n"
    )


def test_mermaid_labels_are_escaped() -> None:
    text = draw_mermaid(build_dag([node('say "x"#2')]))
    assert 's0["say #quot;x#quot;#35;2"]' in text


def test_svg_is_well_formed_and_marks_the_critical_path() -> None:
    root = ElementTree.fromstring(draw_svg(diamond()))
    spaces = {"s": "http://www.w3.org/2000/svg"}
    titles = [one.text for one in root.iterfind("s:g/s:title", spaces)]
    assert titles == ["p/a", "p/b", "p/c", "p/d", "p/e"]
    boxes = {one[0].text: one[1] for one in root.iterfind("s:g", spaces)}
    rows = {title: box.get("y") for title, box in boxes.items()}
    assert rows == {"p/a": "16", "p/b": "96", "p/c": "96", "p/d": "176", "p/e": "256"}
    assert boxes["p/b"].get("stroke-width") == "2.5"
    assert boxes["p/c"].get("stroke-width") == "1"
    dashed = [one for one in root.iterfind("s:path", spaces) if one.get("stroke-dasharray")]
    assert len(dashed) == 1


def test_svg_escapes_names() -> None:
    ElementTree.fromstring(draw_svg(build_dag([node("<script>&")])))


def test_svg_of_nothing() -> None:
    ElementTree.fromstring(draw_svg(nx.DiGraph()))


def test_node_link_round_trip_through_json() -> None:
    graph = diamond()
    again = from_node_link(json.loads(json.dumps(to_node_link(graph))))
    assert list(again.edges(data=True)) == list(graph.edges(data=True))
    assert {one: again.nodes[one] for one in again} == {one: graph.nodes[one] for one in graph}


def test_node_link_data_is_read_by_networkx() -> None:
    read: Callable[..., nx.Graph[str]] = nx.node_link_graph  # pyright: ignore
    graph = read(to_node_link(diamond()), edges="edges")
    assert graph.is_directed()
    assert set(graph.edges) == set(diamond().edges)


NOT_GRAPHS: list[dict[str, object]] = [
    {},
    {"nodes": 3, "edges": []},
    {"nodes": [{}], "edges": []},
    {"nodes": [{"id": "a"}], "edges": [{"source": "a", "target": "b"}]},
    {"nodes": [{"id": "a", "colour": 1}], "edges": []},
    {"nodes": [{"id": "a"}], "edges": [{"source": "a", "target": "a"}]},
]


@pytest.mark.parametrize("data", NOT_GRAPHS)
def test_node_link_data_of_another_form_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        from_node_link(data)


# Plans.


@step
async def fetch(url: str) -> str:
    raise AssertionError("a plan runs no Steps")


@program
async def child(text: str) -> str:
    return await gen(["child", gen(text)])


@program
async def planned(num: int) -> str:
    parts = [gen(f"part {index}", name="part") for index in range(num)]
    page = fetch("u")
    inner = child("x")
    spread = pmap(lambda text: gen(text, name="item"), ["a", "b"])
    joined = await gen([*parts, page, inner, spread], name="join")
    return await gen(joined, name="unseen")


def test_a_plan_shows_what_is_known_before_the_data() -> None:
    graph = planned.plan(2)
    assert list(graph) == [
        "planned",
        "planned/part",
        "planned/part#2",
        "planned/fetch",
        "planned/child",
        "planned/pmap",
        "planned/join",
        "planned/child/gen",
        "planned/child/gen#2",
        "planned/pmap/item",
        "planned/pmap/item#2",
    ]
    assert set(graph.predecessors("planned/join")) == {
        "planned/part",
        "planned/part#2",
        "planned/fetch",
        "planned/child",
        "planned/pmap",
    }
    assert list(graph.predecessors("planned/child/gen#2")) == ["planned/child/gen"]


async def test_a_plan_can_be_made_where_a_loop_runs() -> None:
    assert "planned/join" in planned.plan(1)


def test_a_plan_passes_on_what_the_code_raises() -> None:
    @program
    async def broken() -> None:
        raise ValueError("early")

    with pytest.raises(ValueError, match="early"):
        broken.plan()
