"""One tool call, its arguments decoded side by side: `weft run examples/parallel_tools.py`.

The model chooses a tool; then every argument of the call is a generation of its own, under its own
schema, from one shared prompt, so that a call with four arguments takes about as long as its
longest one. On a terminal the lines of the run tree grow together. With `--set heads=true` the
name is decoded beside the arguments, which a model must be trained for.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from weft import call_tool, chat, program, tool
from weft.programs import HEADS, SKELETON

REQUEST = (
    "Book a trip for Anna Keller, from North Moravia, to Upper Salis, "
    "with a stay at the Hotel Belaro."
)
MAX_TOKENS = 60
Text = Annotated[str, Field(max_length=40)]


class Trip(BaseModel):
    passenger: str
    origin: str
    destination: str
    hotel: str


@tool(effect="pure")
def book_trip(passenger: Text, origin: Text, destination: Text, hotel: Text) -> Trip:
    """Book a trip."""
    return Trip(passenger=passenger, origin=origin, destination=destination, hotel=hotel)


@tool(effect="pure")
def send_parcel(sender: Text, recipient: Text, address: Text) -> str:
    """Send a parcel."""
    return f"From {sender} to {recipient}, {address}."


TOOLS = {one.name: one for one in (book_trip, send_parcel)}


@program
async def parallel_tools(request: str = REQUEST, heads: bool = False) -> Trip | str:
    """Have the model choose and fill in a call, then make it."""
    call = await call_tool(
        chat("Use the tools.").user(request),
        list(TOOLS.values()),
        form=HEADS if heads else SKELETON,
        temperature=0,
        max_tokens=MAX_TOKENS,
    )
    done = await TOOLS[call.name].order_named(call.arguments)
    return done if isinstance(done, Trip) else str(done)
