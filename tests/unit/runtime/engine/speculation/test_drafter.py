from __future__ import annotations

from weft.runtime.engine.speculation.draft import ROOT, Draft
from weft.runtime.engine.speculation.drafter import Drafter
from weft.runtime.engine.speculation.past import Past


def guesses(
    drafter: Drafter,
    *,
    forced: tuple[int, ...] = (),
    barred: tuple[int, ...] = (),
    max_depth: int = 20,
    min_chance: float = 0.01,
) -> Draft:
    draft = drafter.draft(
        matcher=None, forced=forced, barred=barred, max_depth=max_depth, min_chance=min_chance
    )
    draft.lay_out()
    return draft


def tokens_of(draft: Draft) -> list[int]:
    return [node.token_id for node in draft.nodes]


def test_what_followed_before_is_guessed() -> None:
    drafter = Drafter([1, 2, 3, 4, 5, 9, 1, 2], Past())
    draft = guesses(drafter)
    assert tokens_of(draft) == [3, 4, 5, 9, 1, 2]
    assert draft.is_chain
    chances = [node.chance for node in draft.nodes]
    assert chances == sorted(chances, reverse=True)
    assert tokens_of(guesses(drafter, max_depth=2)) == [3, 4]
    assert tokens_of(guesses(drafter, barred=(5,))) == [3, 4]
    assert tokens_of(guesses(drafter, min_chance=1.0)) == []


def test_outputs_of_others_are_guessed_from() -> None:
    past = Past()
    past.remember([7, 8, 20, 21, 22], num_prompt=2)
    assert tokens_of(guesses(Drafter([1, 7, 8], past))) == [20, 21, 22]
    assert tokens_of(guesses(Drafter([1, 7, 8], Past()))) == []
    assert tokens_of(guesses(Drafter([8], past))) == []


def test_places_that_disagree_make_a_tree() -> None:
    past = Past()
    past.remember([1, 2, 3, 4, 5], num_prompt=1)
    past.remember([1, 2, 3, 6, 7], num_prompt=1)
    draft = guesses(Drafter([1, 2], past))
    assert tokens_of(draft) == [3, 6, 7, 4, 5]
    assert [node.parent for node in draft.nodes] == [ROOT, 0, 1, 0, 3]
    assert sum(node.chance for node in draft.nodes if node.parent == 0) <= draft.nodes[0].chance


def test_longer_echoes_come_first() -> None:
    past = Past()
    past.remember([1, 2, 3, 4, 50], num_prompt=1)
    past.remember([9, 9, 3, 4, 60], num_prompt=1)
    draft = guesses(Drafter([1, 2, 3, 4], past))
    assert draft.nodes[0].token_id == 50


def test_forced_text_comes_before_all() -> None:
    drafter = Drafter([1, 2, 3, 1, 2], Past())
    assert tokens_of(guesses(drafter, forced=(8, 9)))[:2] == [8, 9]
    alone = Drafter([1], Past())
    assert tokens_of(guesses(alone, forced=(8, 9))) == [8, 9]


def test_the_path_that_was_drawn_is_kept_and_learnt_from() -> None:
    past = Past()
    past.remember([1, 2, 3, 4, 5], num_prompt=1)
    past.remember([1, 2, 3, 6, 7], num_prompt=1)
    drafter = Drafter([1, 2], past)
    draft = guesses(drafter)
    # Numbers: 3 is 0, 6 is 1, 7 is 2, 4 is 3, 5 is 4; drawn[1 + j] stands behind node j.
    assert drafter.verify(draft, [3, 4, 0, 0, 5, 8]) == [0, 3, 4]
    assert drafter.verify(draft, [3, 6, 9, 0, 0, 0]) == [0, 1]
    assert drafter.verify(draft, [9, 6, 7, 0, 0, 0]) == []
    assert drafter.verify(draft, [-1, 0, 0, 0, 0, 0]) == []


def test_a_sequence_whose_guesses_fail_gets_fewer() -> None:
    drafter = Drafter([1, 2, 3, 4, 5, 1, 2], Past())
    before = guesses(drafter, min_chance=0.3)
    for _ in range(20):
        draft = guesses(drafter)
        drafter.verify(draft, [99] * (1 + len(draft)))
    assert len(guesses(drafter, min_chance=0.3)) < len(before)
