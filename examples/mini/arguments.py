"""Tools with several independent arguments, whose long values stand in the question."""

from collections.abc import Callable, Mapping
from random import Random
from typing import NamedTuple

from examples.mini import words
from examples.mini.problem import JsonValue, Problem

SYSTEMS = (None, "You are a helpful assistant.", "Use the tools.")
MAX_ARGUMENTS = 5
NUM_ARGUMENTS = (1, 2, 3, 4, 5)
NUM_ARGUMENTS_WEIGHTS = (1, 2, 3, 4, 2)
NUM_OTHER_TOOLS_WEIGHTS = (6, 3, 1)


class Value(NamedTuple):
    """An argument as the question words it and as the call must have it."""

    shown: str
    value: str | int


class Argument(NamedTuple):
    """How values of an argument are drawn, and what stands before them in a question."""

    draw: Callable[[Random], Value]
    phrases: tuple[str, ...]
    kind: str = "string"


def full_name(rng: Random) -> Value:
    """First and last name."""
    return _same(f"{words.person(rng)} {_name(rng)}")


def place(rng: Random) -> Value:
    """A town of two words."""
    first = rng.choice("North South East West Old New Upper Lower Great Little".split())
    return _same(f"{first} {_name(rng)}")


def address(rng: Random) -> Value:
    """A number and a street."""
    kind = rng.choice(("Street", "Road", "Lane", "Square", "Hill", "Park"))
    return _same(f"{rng.randint(1, 99)} {_name(rng)} {kind}")


def email(rng: Random) -> Value:
    """An address of two invented words."""
    return _same(f"{words.invent(rng)}@{words.invent(rng)}.{rng.choice(('com', 'org', 'net'))}")


def company(rng: Random) -> Value:
    """An invented firm."""
    kind = rng.choice(("Works", "Tools", "Labs", "Foods", "Bank", "Press"))
    return _same(f"{_name(rng)} {kind}")


def hotel(rng: Random) -> Value:
    """An invented hotel."""
    return _same(f"Hotel {_name(rng)}")


def date(rng: Random) -> Value:
    """A day: the question has the month first, the call the day of the month."""
    weekday, month, day = rng.choice(words.DAYS), rng.choice(words.MONTHS), rng.randint(1, 28)
    return Value(f"{weekday} {month} {day}", f"{weekday} {day} {month}")


def title(rng: Random) -> Value:
    """What an event is called."""
    return _same(
        f"{rng.choice(words.EVENT_TOPICS)} {rng.choice(words.EVENT_KINDS)} of {_name(rng)}"
    )


def thing(rng: Random) -> Value:
    """An item of a material and a colour."""
    colour = rng.choice("red blue green black white grey yellow brown".split())
    return _same(f"{colour} {words.invent(rng)} {rng.choice(words.ITEMS)}")


def number(rng: Random) -> Value:
    """A count, sometimes as a word."""
    value = rng.randint(2, 99)
    is_word = value < len(words.NUMBER_WORDS) and rng.random() < 0.5
    return Value(words.NUMBER_WORDS[value] if is_word else str(value), value)


def _name(rng: Random) -> str:
    return words.invent(rng).capitalize()


def _same(text: str) -> Value:
    return Value(text, text)


class Tool(NamedTuple):
    """A tool: what it is for, how it is asked for, and its arguments."""

    description: str
    asks: tuple[str, ...]
    arguments: Mapping[str, Argument]


TOOLS: Mapping[str, Tool] = {
    "book_trip": Tool(
        "Book a trip.",
        ("Book a trip", "Reserve a trip", "Please book a trip"),
        {
            "passenger": Argument(full_name, ("for {}", "passenger {}", "in the name of {}")),
            "origin": Argument(place, ("from {}", "leaving {}", "starting in {}")),
            "destination": Argument(place, ("to {}", "going to {}")),
            "date": Argument(date, ("on {}", "leaving on {}")),
            "hotel": Argument(hotel, ("at the {}", "with a stay at the {}")),
        },
    ),
    "register_person": Tool(
        "Register a person.",
        ("Register a person", "Add a person", "Make an entry"),
        {
            "name": Argument(full_name, ("named {}", "called {}", "name {}")),
            "address": Argument(address, ("living at {}", "address {}", "of {}")),
            "email": Argument(email, ("email {}", "with the email {}")),
            "company": Argument(company, ("working for {}", "company {}", "from {}")),
            "age": Argument(number, ("aged {}", "age {}"), "integer"),
        },
    ),
    "order_item": Tool(
        "Order an item.",
        ("Place an order", "Make an order", "I want to order"),
        {
            "item": Argument(thing, ("for the {}", "item {}", "of the {}")),
            "customer": Argument(full_name, ("customer {}", "paid by {}")),
            "address": Argument(address, ("sent to {}", "address {}")),
            "date": Argument(date, ("due on {}", "by {}")),
            "quantity": Argument(number, ("{} pieces", "quantity {}"), "integer"),
        },
    ),
    "plan_event": Tool(
        "Plan an event.",
        ("Plan an event", "Set up an event", "Please plan an event"),
        {
            "title": Argument(title, ("called {}", "title {}", "the {}")),
            "host": Argument(full_name, ("hosted by {}", "host {}", "led by {}")),
            "place": Argument(address, ("at {}", "place {}")),
            "date": Argument(date, ("on {}", "date {}")),
            "guests": Argument(number, ("for {} guests", "with {} guests"), "integer"),
        },
    ),
    "send_parcel": Tool(
        "Send a parcel.",
        ("Send a parcel", "Post a parcel", "Ship a parcel"),
        {
            "sender": Argument(full_name, ("from {}", "sent by {}", "sender {}")),
            "recipient": Argument(full_name, ("to {}", "for {}", "recipient {}")),
            "address": Argument(address, ("at {}", "address {}", "going to {}")),
            "contents": Argument(thing, ("with a {}", "holding a {}", "contents {}")),
            "email": Argument(email, ("notify {}", "email {}")),
        },
    ),
}


def draw(rng: Random) -> Problem:
    """Draw a question that names every argument of the tool it needs."""
    name = rng.choice(tuple(TOOLS))
    count = rng.choices(NUM_ARGUMENTS, NUM_ARGUMENTS_WEIGHTS)[0]
    chosen = rng.sample(tuple(TOOLS[name].arguments), count)
    values = {key: TOOLS[name].arguments[key].draw(rng) for key in chosen}
    question = ask(rng, name, values)
    properties = [key for key in TOOLS[name].arguments if key in values]
    call: dict[str, JsonValue] = {
        "name": name,
        "arguments": {key: values[key].value for key in properties},
    }
    system = rng.choice(SYSTEMS)
    prompt: list[dict[str, JsonValue]] = [{"role": "user", "content": question}]
    if system is not None:
        prompt.insert(0, {"role": "system", "content": system})
    turn: dict[str, JsonValue] = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": call}],
    }
    return Problem(
        skill="arguments",
        key=question,
        messages=[*prompt, turn],
        num_prompt=len(prompt),
        check={"kind": "tool_call", **call},
        tools=draw_tools(rng, name, properties),
    )


def ask(rng: Random, name: str, values: Mapping[str, Value]) -> str:
    """Word a question; the arguments stand in any order."""
    phrases = [
        rng.choice(TOOLS[name].arguments[key].phrases).format(value.shown)
        for key, value in values.items()
    ]
    rng.shuffle(phrases)
    return f"{rng.choice(TOOLS[name].asks)} {', '.join(phrases)}."


def draw_tools(rng: Random, name: str, properties: list[str]) -> list[dict[str, JsonValue]]:
    """Draw the tools shown: the one needed, and some that are not, each with some arguments."""
    tools = [schema(name, properties)]
    others = [other for other in TOOLS if other != name]
    num_others = rng.choices(range(3), NUM_OTHER_TOOLS_WEIGHTS)[0]
    for other in rng.sample(others, num_others):
        names = tuple(TOOLS[other].arguments)
        tools.append(schema(other, rng.sample(names, rng.randint(1, 3))))
    rng.shuffle(tools)
    return tools


def schema(name: str, properties: list[str]) -> dict[str, JsonValue]:
    """Write a tool with some of its arguments as the JSON schema that a model is shown."""
    tool = TOOLS[name]
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": tool.description,
            "parameters": {
                "type": "object",
                "properties": {key: {"type": tool.arguments[key].kind} for key in properties},
                "required": list(properties),
            },
        },
    }
