"""Tool use: pick a tool from its schema, call it, and answer from what it returns."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from examples.mini import words
from examples.mini.problem import JsonValue, Problem

SYSTEMS = (None, "You are a helpful assistant.", "Use the tools.")
TWO_CALL_SHARE = 0.15
"""Share of questions that need a price first and the calculator after."""

PARAMETERS = {
    "calculator": ("expression", ("Calculate an expression.", "Evaluate arithmetic.")),
    "get_price": ("item", ("Get the price of an item.", "Look up a price.")),
    "get_stock": ("item", ("Get the stock of an item.", "Count an item in stock.")),
    "get_capital": ("country", ("Get the capital of a country.", "Look up a capital.")),
    "get_weather": ("city", ("Get the weather in a city.", "Look up the weather.")),
}
"""Every tool's one argument and the descriptions it is shown with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One tool call and what the tool returns."""

    name: str
    value: str
    """The argument."""
    response: str
    """Text of the tool turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A question, the calls it needs in order, and the final sentence."""

    question: str
    calls: Sequence[Call]
    answer: str


def draw(rng: Random) -> Problem:
    """Draw a question; the problem is one turn of its dialogue, a call or the last sentence."""
    task = two_calls(rng) if rng.random() < TWO_CALL_SHARE else rng.choice(ONE_CALL)(rng)
    messages: list[dict[str, JsonValue]] = []
    system = rng.choice(SYSTEMS)
    if system is not None:
        messages.append({"role": "system", "content": system})
    messages.append({"role": "user", "content": task.question})
    first = len(messages)
    for call in task.calls:
        messages.append({"role": "assistant", "content": "", "tool_calls": [_call_json(call)]})
        messages.append({"role": "tool", "content": call.response})
    messages.append({"role": "assistant", "content": task.answer})
    turn = rng.randrange(len(task.calls) + 1)
    return Problem(
        skill="tools",
        key=task.question,
        messages=messages,
        num_prompt=first + 2 * turn,
        check=_check(task, turn),
        tools=draw_tools(rng, [call.name for call in task.calls]),
    )


def _check(task: Task, turn: int) -> dict[str, JsonValue]:
    if turn == len(task.calls):
        return {"kind": "exact", "answer": task.answer}
    call = task.calls[turn]
    return {"kind": "tool_call", "name": call.name, "arguments": _arguments(call)}


def _arguments(call: Call) -> dict[str, JsonValue]:
    return {PARAMETERS[call.name][0]: call.value}


def _call_json(call: Call) -> dict[str, JsonValue]:
    return {"type": "function", "function": {"name": call.name, "arguments": _arguments(call)}}


def draw_tools(rng: Random, needed: Sequence[str]) -> list[dict[str, JsonValue]]:
    """Draw the tools shown: those needed and up to three others, in any order and dress."""
    others = [name for name in PARAMETERS if name not in needed]
    names = list(dict.fromkeys(needed)) + rng.sample(others, rng.choices(range(4), (3, 4, 2, 1))[0])
    rng.shuffle(names)
    has_titles, has_descriptions = rng.random() < 0.15, rng.random() < 0.25
    is_closed = rng.random() < 0.3
    tools: list[dict[str, JsonValue]] = []
    for name in names:
        argument, descriptions = PARAMETERS[name]
        argument_schema: dict[str, JsonValue] = {"type": "string"}
        if has_titles:
            argument_schema = {"title": argument.capitalize(), **argument_schema}
        if has_descriptions:
            argument_schema["description"] = f"The {argument}."
        parameters: dict[str, JsonValue] = {
            "type": "object",
            "properties": {argument: argument_schema},
            "required": [argument],
        }
        if is_closed:
            parameters["additionalProperties"] = False
        function: dict[str, JsonValue] = {
            "name": name,
            "description": rng.choice(descriptions),
            "parameters": parameters,
        }
        tools.append({"type": "function", "function": function})
    return tools


def _response(rng: Random, value: int | float | str) -> str:
    """Write a tool's result bare or as a JSON string."""
    if isinstance(value, str) and rng.random() < 0.3:
        return json.dumps(value)
    return str(value)


def _price(rng: Random) -> int | float:
    return rng.randint(1, 999) if rng.random() < 0.5 else round(rng.uniform(1, 99), 2)


def arithmetic(rng: Random) -> Task:
    """A calculation in symbols or in words."""
    count = rng.choice((2, 2, 3))
    numbers = [str(rng.randrange(10 ** rng.randint(1, 4))) for _ in range(count)]
    signs = [rng.choice("+-*/") for _ in range(count - 1)]
    named = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}
    in_words = rng.random() < 0.5
    expression = spoken = numbers[0]
    for sign, number in zip(signs, numbers[1:], strict=True):
        expression += f" {sign} {number}"
        spoken += f" {named[sign] if in_words else sign} {number}"
    form = rng.choice(("What is {}?", "Calculate {}.", "Compute {}.", "How much is {}?", "{}"))
    value = _price(rng) if rng.random() < 0.3 else rng.randint(-999, 99999)
    call = Call(name="calculator", value=expression, response=_response(rng, value))
    return Task(question=form.format(spoken), calls=(call,), answer=f"{expression} is {value}.")


def price(rng: Random) -> Task:
    """The price of an item."""
    item, value = words.item(rng), _price(rng)
    form = rng.choice(
        (
            "What is the price of the {}?",
            "How much is the {}?",
            "What does a {} cost?",
            "Price of {}?",
        )
    )
    call = Call(name="get_price", value=item, response=_response(rng, value))
    return Task(
        question=form.format(item), calls=(call,), answer=f"The price of the {item} is {value}."
    )


def stock(rng: Random) -> Task:
    """How many of an item there are."""
    item, value = words.item(rng), rng.randrange(500)
    form = rng.choice(
        (
            "How many of the {} are in stock?",
            "What is the stock of the {}?",
            "How many {}s are left?",
        )
    )
    call = Call(name="get_stock", value=item, response=_response(rng, value))
    return Task(
        question=form.format(item), calls=(call,), answer=f"The stock of the {item} is {value}."
    )


def capital(rng: Random) -> Task:
    """The capital of a country; invented countries and answers force reading the tool's result."""
    country, value = rng.choice(tuple(words.COUNTRIES.items()))
    if rng.random() < 0.4:
        country = words.invent(rng).capitalize()
        value = words.city(rng)
    form = rng.choice(("What is the capital of {}?", "Name the capital of {}.", "Capital of {}?"))
    call = Call(name="get_capital", value=country, response=_response(rng, value))
    return Task(
        question=form.format(country),
        calls=(call,),
        answer=f"The capital of {country} is {value}.",
    )


def weather(rng: Random) -> Task:
    """The weather in a city."""
    city, value = words.city(rng), words.weather(rng)
    form = rng.choice(
        ("How is the weather in {}?", "What is the weather in {}?", "Is it nice in {} today?")
    )
    call = Call(name="get_weather", value=city, response=_response(rng, value))
    return Task(
        question=form.format(city), calls=(call,), answer=f"The weather in {city} is {value}."
    )


def two_calls(rng: Random) -> Task:
    """The price of several of an item: the price first, the product after."""
    item, one, count = words.item(rng), _price(rng), rng.randint(2, 40)
    form = rng.choice(("What do {n} {}s cost?", "How much are {n} {}s?"))
    total = round(one * count, 2)
    calls = (
        Call(name="get_price", value=item, response=_response(rng, one)),
        Call(name="calculator", value=f"{count} * {one}", response=_response(rng, total)),
    )
    return Task(
        question=form.format(item, n=count), calls=calls, answer=f"{count} {item}s cost {total}."
    )


ONE_CALL: tuple[Callable[[Random], Task], ...] = (
    arithmetic,
    arithmetic,
    price,
    stock,
    capital,
    weather,
)
"""Drawn evenly; arithmetic counts twice."""
