"""Countdown: reach a target from four numbers, one operation per turn."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from random import Random

from examples.mini.problem import Problem, dialogue, is_heldout

SYSTEM = "Countdown."
MAX_VALUE = 999
"""Largest intermediate value the solver visits; a checker accepts larger ones."""
MAX_NUMBER = 20
TARGETS = range(10, 100)
STATES_PER_DIALOGUE = 3

State = tuple[int, ...]
"""Remaining numbers, ascending."""


def operations(state: State) -> Iterator[tuple[str, State]]:
    """Yield every distinct operation of a state with the state it leads to."""
    seen: set[str] = set()
    for low in range(len(state)):
        for high in range(low + 1, len(state)):
            rest = state[:low] + state[low + 1 : high] + state[high + 1 :]
            for text, value in combine(state[high], state[low]):
                if text not in seen:
                    seen.add(text)
                    yield text, tuple(sorted((*rest, value)))


def combine(large: int, small: int) -> Iterator[tuple[str, int]]:
    """Yield the operations of two numbers, larger first, whose value is positive and whole."""
    yield f"{large}+{small}", large + small
    if large > small:
        yield f"{large}-{small}", large - small
    if large * small <= MAX_VALUE:
        yield f"{large}*{small}", large * small
    if large % small == 0:
        yield f"{large}/{small}", large // small


@lru_cache(maxsize=300_000)
def reachable(state: State) -> dict[int, int]:
    """Map every value a state can end in to the number of operation sequences that end there."""
    if len(state) == 1:
        return {state[0]: 1}
    counts: dict[int, int] = {}
    for _, after in operations(state):
        for value, count in reachable(after).items():
            counts[value] = counts.get(value, 0) + count
    return counts


def solving_operations(state: State, target: int) -> dict[str, tuple[float, State]]:
    """Map every operation that leaves the target in reach to its share of all solutions.

    The state it leads to comes along. Raises ValueError when the target cannot be reached.
    """
    counts = {
        text: (count, after)
        for text, after in operations(state)
        if (count := reachable(after).get(target, 0))
    }
    total = sum(count for count, _ in counts.values())
    if not total:
        raise ValueError(f"{target} cannot be reached from {state}")
    return {text: (count / total, after) for text, (count, after) in counts.items()}


def sample_solution(rng: Random, state: State, target: int) -> list[tuple[str, State]]:
    """Draw one solution uniformly from all solutions: operations and the states they lead to.

    Raises ValueError when the target cannot be reached.
    """
    steps: list[tuple[str, State]] = []
    while len(state) > 1:
        options = solving_operations(state, target)
        text = rng.choices(list(options), [share for share, _ in options.values()])[0]
        state = options[text][1]
        steps.append((text, state))
    return steps


def show(target: int, state: Sequence[int]) -> str:
    """Write a state as the user turn shows it."""
    return f"{target}: {' '.join(map(str, state))}"


def problem(rng: Random, state: State, target: int, key: str) -> Problem:
    """Make the document of one instance from `state` on, with all right operations per turn."""
    turns, choices, before = [show(target, state)], dict[int, dict[str, float]](), state
    for text, after in sample_solution(rng, state, target):
        options = solving_operations(before, target)
        choices[len(turns) + 1] = {option: share for option, (share, _) in options.items()}
        turns += [text, show(target, after)]
        before = after
    return Problem(
        skill="countdown",
        key=key,
        messages=dialogue(SYSTEM, *turns[:-1]),
        num_prompt=2,
        check={"kind": "countdown", "numbers": list(state), "target": target},
        choices=choices,
    )


def draw_numbers(rng: Random) -> State:
    """Draw four starting numbers, ascending."""
    return tuple(sorted(rng.randint(1, MAX_NUMBER) for _ in range(4)))


def draw_instance(rng: Random) -> tuple[State, int]:
    """Draw a solvable instance: numbers first, then a target among those they reach."""
    targets: list[int] = []
    state: State = ()
    while not targets:
        state = draw_numbers(rng)
        targets = [target for target in reachable(state) if target in TARGETS]
    return state, rng.choice(targets)


def draw(rng: Random) -> Problem:
    """Draw a document that starts from four numbers."""
    state, target = draw_instance(rng)
    return problem(rng, state, target, show(target, state))


def draw_late(rng: Random) -> Problem:
    """Draw a document that starts from a later state, so that a program may drop the history."""
    state, target = draw_instance(rng)
    steps = sample_solution(rng, state, target)
    return problem(rng, steps[rng.randrange(len(steps) - 1)][1], target, show(target, state))


def draw_states(rng: Random) -> Problem:
    """Draw a dialogue whose turns are states of unrelated instances, most of four numbers.

    The first operation is the hard one: here nearly every turn is one, where a whole game has one
    in three. The dialogue as a whole is no instance, so no held-out instance may be in it.
    """
    turns, choices = list[str](), dict[int, dict[str, float]]()
    for _ in range(STATES_PER_DIALOGUE):
        state, target = draw_training_instance(rng)
        if rng.random() < 0.3:
            state = sample_solution(rng, state, target)[0][1]
        options = solving_operations(state, target)
        shares = {text: share for text, (share, _) in options.items()}
        choices[len(turns) + 2] = shares
        turns += [show(target, state), rng.choices(list(shares), list(shares.values()))[0]]
    return Problem(
        skill="countdown",
        key="\n".join(turns),
        messages=dialogue(SYSTEM, *turns),
        num_prompt=2,
        check={},
        choices=choices,
    )


def draw_training_instance(rng: Random) -> tuple[State, int]:
    """Draw an instance that is not held out."""
    while True:
        state, target = draw_instance(rng)
        if not is_heldout("countdown", show(target, state)):
            return state, target
