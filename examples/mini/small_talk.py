"""Small talk: greetings, short cases for and against, summaries and merges."""

import json
from collections.abc import Callable, Sequence
from random import Random

from examples.mini import words
from examples.mini.problem import JsonValue, Problem, dialogue

SYSTEMS = (None, None, "You are a helpful assistant.")

TOPICS = (
    "remote work|solar power|public transport|home schooling|car sharing|street art|"
    "night shift work|open source|teamwork|overtime|unit testing|code review|paper recycling|"
    "video calling|team sport|getting up early|home cooking|urban farming|space travel|"
    "free parking|the four day week|cycling|working from home|hot desking|pair programming|"
    "static typing|online learning|tea|coffee|chess|nuclear power|wind power|tourism|"
    "automation|cash|gardening|homework|caching|refactoring|exercise"
).split("|")
PROS = (
    "saves time|lowers costs|gives people more freedom|is good for health|helps people learn|"
    "brings people together|reduces waste|makes work easier|builds trust|is fair to everyone|"
    "keeps the air clean|improves focus|leads to better results|creates new jobs"
).split("|")
CONS = (
    "takes time|costs a lot|is hard to manage|can be lonely|slows people down|creates waste|"
    "does not suit everyone|needs much space|is easy to misuse|distracts people|adds risk|"
    "depends on the weather|is hard to measure|makes planning harder"
).split("|")
GREETINGS = ("Hello", "Hello!", "Hi", "Hi there", "Hey", "Good morning", "Good evening")
WHO = ("Who are you?", "What are you?", "What is your name?", "Introduce yourself.")
ABOUT = (
    "I am mini, a small language model. "
    "I can do arithmetic with tools, write SQL, extract records and judge answers."
)


def draw(rng: Random) -> Problem:
    """Draw one exchange. There is no held-out file for small talk; the key is the prompt."""
    prompt, reply = rng.choice(KINDS)(rng)
    return Problem(
        skill="small_talk",
        key=prompt,
        messages=dialogue(rng.choice(SYSTEMS), prompt, reply),
        num_prompt=1,
        check={"kind": "exact", "answer": reply},
    )


def topic(rng: Random) -> str:
    """Draw a topic, sometimes invented."""
    return words.invent(rng) if rng.random() < 0.3 else rng.choice(TOPICS)


def sentences(rng: Random, subject: str, claims: Sequence[str]) -> str:
    """Write claims about a subject as short sentences."""
    first = f"{subject[0].upper()}{subject[1:]} {claims[0]}."
    rest = [f"{rng.choice(('It', 'It also'))} {claim}." for claim in claims[1:]]
    return " ".join([first, *rest])


def hello(rng: Random) -> tuple[str, str]:
    """A greeting."""
    return rng.choice(GREETINGS), "Hello! How can I help you?"


def who(rng: Random) -> tuple[str, str]:
    """A question about the model."""
    return rng.choice(WHO), ABOUT


def case(rng: Random) -> tuple[str, str]:
    """A case for or against a topic."""
    subject = topic(rng)
    side, claims = rng.choice((("for", PROS), ("against", CONS)))
    form = rng.choice(("Case {} {}", "Case {} {}.", "Make the case {} {}.", "Argue {} {}."))
    text = sentences(rng, subject, rng.sample(claims, rng.choice((2, 2, 3))))
    return form.format(side, subject), text


def summary(rng: Random) -> tuple[str, str]:
    """Several claims about one topic in one sentence."""
    subject = topic(rng)
    claims = rng.sample(PROS + CONS, rng.choice((2, 3)))
    form = rng.choice(("Summarise: {}", "Summarize: {}", "Summarise:\n{}"))
    text = form.format(sentences(rng, subject, claims))
    joined = f"{', '.join(claims[:-1])} and {claims[-1]}"
    return text, f"{subject[0].upper()}{subject[1:]} {joined}."


def merge(rng: Random) -> tuple[str, str]:
    """A case for and a case against in two sentences, or as JSON."""
    subject = topic(rng)
    title = subject[0].upper() + subject[1:]
    pros, cons = rng.sample(PROS, 2), rng.sample(CONS, 2)
    gap = rng.choice(("\n", "\n\n", " "))
    body = f"{sentences(rng, subject, pros)}{gap}{sentences(rng, subject, cons)}"
    fields = _fields(rng)
    record: dict[str, JsonValue] = {
        "title": title,
        "summary": f"{title} {pros[0]} but {cons[0]}.",
        "points": [f"It {claim}." for claim in (*pros, *cons)],
        "pros": [f"It {claim}." for claim in pros],
        "cons": [f"It {claim}." for claim in cons],
        "verdict": f"{title} {pros[1]}.",
    }
    as_json = json.dumps({field: record[field] for field in fields})
    if rng.random() < 0.5:
        return f"Merge as JSON with {', '.join(fields)}:\n{body}", as_json
    prompt = f"Merge:{gap}{body}"
    if rng.random() < 0.3:
        return prompt, as_json
    return (
        prompt,
        f"{title} {pros[0]} and {pros[1]}. On the other hand, it {cons[0]} and {cons[1]}.",
    )


def _fields(rng: Random) -> list[str]:
    if rng.random() < 0.6:
        return ["title", "points"]
    return rng.sample(["title", "summary", "points", "pros", "cons", "verdict"], rng.choice((2, 3)))


KINDS: tuple[Callable[[Random], tuple[str, str]], ...] = (
    hello,
    who,
    case,
    case,
    summary,
    merge,
    merge,
)
"""Drawn evenly."""
