"""Outlines: a plan of independent parts, the parts, and a conclusion that needs them all."""

from random import Random
from typing import NamedTuple

from examples.mini import words
from examples.mini.problem import Problem, dialogue
from weft.programs.regions import FORMS, Branch

SYSTEM = "Plan, then solve."
NUM_PARTS = range(2, 6)
MAX_PRODUCT, MAX_TOTAL = 30, 70
FACTORS = range(2, 10)
FORM = FORMS["multiverse"]


class Part(NamedTuple):
    """So many of one item, each at a price."""

    amount: int
    items: str
    """Their plural."""
    price: int

    @property
    def cost(self) -> int:
        """What they cost together."""
        return self.amount * self.price


class Outline(NamedTuple):
    """One request, as the streams write its answer."""

    prompt: str
    plan: str
    heads: tuple[str, ...]
    """How each branch begins; given, not written."""
    paths: tuple[str, ...]
    """What each branch writes, its tail included."""
    join: str
    """How the conclusion begins; given."""
    conclusion: str
    answer: str

    @property
    def text(self) -> str:
        """All of it, as one stream writes it."""
        paths = (head + path for head, path in zip(self.heads, self.paths, strict=True))
        return "".join((self.plan, *paths, self.join, self.conclusion))


def draw_parts(rng: Random) -> list[Part]:
    """Draw parts of different items and costs, whose total is at most MAX_TOTAL."""
    while True:
        items = rng.sample(words.PLURALS, rng.choice(NUM_PARTS))
        parts = [Part(rng.choice(FACTORS), item, rng.choice(FACTORS)) for item in items]
        costs = [part.cost for part in parts]
        is_small = max(costs) <= MAX_PRODUCT and sum(costs) <= MAX_TOTAL
        if is_small and len(set(costs)) == len(costs):
            return parts


def outline(parts: list[Part], question: str) -> Outline:
    """Answer `total`, `most` or `least` about parts by a plan, its branches and a conclusion."""
    asked = ", ".join(f"{part.amount} {part.items} at {part.price}" for part in parts)
    branches = [Branch(number, f"{part.items}") for number, part in enumerate(parts, 1)]
    titles = (f"<Outline> {branch.number}: {branch.title}</Outline>\n" for branch in branches)
    costs = ", ".join(f"{number}: {part.cost}" for number, part in enumerate(parts, 1))
    steps, answer = conclude(parts, question)
    return Outline(
        prompt=f"{asked}\n{question}?",
        plan=f"<Goal>\n{''.join(titles)}</Goal>",
        heads=tuple(FORM.head_of(branch) for branch in branches),
        paths=tuple(
            f" {part.items} cost {part.amount} * {part.price} = {part.cost}{FORM.tail}"
            for part in parts
        ),
        join=FORM.join,
        conclusion=f" {costs}\n{steps}{answer}</Conclusion>",
        answer=answer,
    )


def conclude(parts: list[Part], question: str) -> tuple[str, str]:
    """Return the steps of the conclusion and its last line."""
    if question != "total":
        pick = max if question == "most" else min
        chosen = pick(parts, key=lambda part: part.cost)
        return "", f"{question}: {chosen.items}"
    steps, total = list[str](), parts[0].cost
    for part in parts[1:]:
        steps.append(f"{total} + {part.cost} = {total + part.cost}")
        total += part.cost
    return ", ".join(steps) + "\n", f"total: {total}"


def draw_outline(rng: Random) -> Outline:
    """Draw a request."""
    question = rng.choice(("total", "total", "most", "least"))
    return outline(draw_parts(rng), question)


def problem(item: Outline) -> Problem:
    """Make the problem of one outline; its answer is written by one stream."""
    return Problem(
        skill="outline",
        key=item.prompt,
        messages=dialogue(SYSTEM, item.prompt, item.text),
        num_prompt=2,
        check={"kind": "conclusion", "answer": item.answer},
    )


def draw(rng: Random) -> Problem:
    """Draw a request."""
    return problem(draw_outline(rng))
