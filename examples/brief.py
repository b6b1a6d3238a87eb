"""Two sides of a topic at the same time, merged into a typed brief.

Run it with `weft run examples/brief.py --set topic='remote work'`.
"""

from __future__ import annotations

from pydantic import BaseModel

from weft import gen, program


class Brief(BaseModel):
    title: str
    points: list[str]


@program
async def brief(topic: str = "remote work") -> Brief:
    """Write the case for and the case against, then merge them."""
    pro = gen(f"Case for {topic}", max_tokens=80, temperature=0.3, name="case_for")
    con = gen(f"Case against {topic}", max_tokens=80, temperature=0.3, name="case_against")
    return await gen(
        ["Merge as JSON with title, points:", pro, con], out=Brief, max_tokens=160, temperature=0
    )
