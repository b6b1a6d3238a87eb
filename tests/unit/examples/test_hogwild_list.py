from __future__ import annotations

import pytest

from examples.hogwild_list import LANE_TOKENS, gathered, hogwild_list
from weft.runtime.executor import Run
from weft.runtime.testing import Prompted, ScriptedEngine


def say(prompted: Prompted) -> str:
    """The first of two lanes takes odd items, the other one even ones and the first, too."""
    if prompted.text.endswith("Lane 1 of 2\n"):
        return "1: one\n3: three\n5: five\n7: seven\n"
    assert prompted.text.endswith("Lane 2 of 2\n")
    return "2: two\n4: four\n1: again\n9: none\nnothing"


@pytest.mark.parametrize("blind", [False, True])
async def test_lines_of_all_lanes_are_gathered_by_item(blind: bool) -> None:
    engine = ScriptedEngine(say)
    solved = await (await Run.start(hogwild_list, 2, blind, engine=engine)).result()
    assert solved.lines == ["1: one", "2: two", "3: three", "4: four", "5: five", "7: seven"]
    assert solved.by_lane == [[1, 3, 5, 7], [2, 4, 1]]
    assert solved.num_repeated == 1
    teams = {request.lane.team for request in engine.requests if request.lane is not None}
    assert [(team.layout, team.lane_tokens) for team in teams] == [
        ("blind" if blind else "contiguous", LANE_TOKENS)
    ]


def test_what_is_no_line_of_an_item_is_left_out() -> None:
    assert gathered(["9: too far\n0: none\nx\n"]).by_lane == [[]]
