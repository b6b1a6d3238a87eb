"""Extraction: from a sentence to a JSON object with the named fields."""

import json
from random import Random

from examples.mini import words
from examples.mini.problem import JsonValue, Problem, dialogue

SYSTEM = "Extract JSON."

TEMPLATES: dict[str, tuple[str, ...]] = {
    "order": (
        "{customer} bought {quantity} {product}s in {month}.",
        "In {month}, {customer} ordered {quantity} {product}s.",
        "{quantity} {product}s were sold to {customer} in {month}.",
        "{customer} from {extra_city} paid for {quantity} {product}s in {month}.",
        "We shipped {quantity} {product}s to {customer} in {month}.",
        "Back in {month} our customer {customer} asked for {quantity} new {product}s.",
        "The {month} order of {customer} was for {quantity} {product}s.",
    ),
    "person": (
        "{name} is a {age} year old {job} from {city}.",
        "{name}, {age}, works as a {job} in {city}.",
        "Meet {name}: {job}, {age}, living in {city}.",
        "At {age}, {name} still works as a {job} in {city}.",
        "The {job} {name} moved to {city} at the age of {age}.",
        "In {city} lives {name}, a {job} aged {age}.",
        "{name} and {extra_name} met in {city}; {name} is {age} and works as a {job}.",
    ),
    "event": (
        "The {title} starts at {time} on {day} in the {place}.",
        "On {day} at {time}, the {place} hosts the {title}.",
        "Join us for the {title} in the {place} on {day}, {time}.",
        "{day}: {title}, {place}, {time}.",
        "The {place} is booked for the {title} from {time} on {day}.",
        "Do not miss the {title} this {day}! Doors of the {place} open at {time}.",
    ),
}
FIELDS = {
    "order": ("customer", "product", "quantity", "month"),
    "person": ("name", "age", "city", "job"),
    "event": ("title", "day", "time", "place"),
}
WORD_NUMBER_SHARE = 0.25
"""Share of quantities written as words."""


def draw(rng: Random) -> Problem:
    """Draw a sentence with the record it holds."""
    prompt, record = draw_record(rng)
    return Problem(
        skill="extract",
        key=prompt,
        messages=dialogue(SYSTEM, prompt, json.dumps(record)),
        num_prompt=2,
        check={"kind": "json", "value": record},
    )


def draw_record(rng: Random) -> tuple[str, dict[str, JsonValue]]:
    """Draw the prompt, schema line and sentence, and the record to be extracted."""
    schema = rng.choice(tuple(TEMPLATES))
    values = _values(rng, schema)
    shown = dict(values)
    quantity = values.get("quantity")
    if isinstance(quantity, int) and quantity <= 12 and rng.random() < WORD_NUMBER_SHARE:
        shown["quantity"] = words.NUMBER_WORDS[quantity]
    sentence = rng.choice(TEMPLATES[schema]).format(
        **shown, extra_city=words.city(rng), extra_name=words.person(rng)
    )
    fields = list(FIELDS[schema])
    if rng.random() < 0.5:
        fields = rng.sample(fields, rng.randint(2, len(fields)))
    prompt = f"{schema}: {', '.join(fields)}\n{sentence[0].upper()}{sentence[1:]}"
    return prompt, {field: values[field] for field in fields}


def _values(rng: Random, schema: str) -> dict[str, JsonValue]:
    if schema == "order":
        return {
            "customer": words.person(rng),
            "product": words.item(rng),
            "quantity": rng.randint(2, 12) if rng.random() < 0.5 else rng.randint(13, 400),
            "month": rng.choice(words.MONTHS),
        }
    if schema == "person":
        return {
            "name": words.person(rng),
            "age": rng.randint(18, 90),
            "city": words.city(rng),
            "job": rng.choice(words.JOBS),
        }
    return {
        "title": f"{rng.choice(words.EVENT_TOPICS)} {rng.choice(words.EVENT_KINDS)}",
        "day": rng.choice(words.DAYS),
        "time": f"{rng.randint(7, 22)}:{rng.choice(('00', '15', '30', '45'))}",
        "place": words.place(rng),
    }
