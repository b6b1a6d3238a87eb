from __future__ import annotations

import random

from weft.runtime.engine.speculation.draft import ROOT, Draft, Node


def node(token_id: int, parent: int, depth: int, chance: float = 0.5) -> Node:
    return Node(token_id, parent, depth, chance, 2)


def path(draft: Draft, number: int) -> list[int]:
    """Token ids from the top to a node."""
    above = draft.nodes[number]
    return [*(path(draft, above.parent) if above.parent != ROOT else []), above.token_id]


def random_draft(rng: random.Random) -> Draft:
    draft = Draft()
    for _ in range(rng.randint(1, 30)):
        parent = rng.randrange(ROOT, len(draft))
        token_id = rng.randrange(1000)
        depth = 1 if parent == ROOT else draft.nodes[parent].depth + 1
        if draft.child(parent, token_id) is None:
            draft.add(node(token_id, parent, depth, 1 / (1 + len(draft))))
    return draft


def test_laying_out_keeps_every_path_and_puts_likely_children_next() -> None:
    rng = random.Random(1)
    for _ in range(50):
        draft = random_draft(rng)
        before = {tuple(path(draft, number)): draft.nodes[number] for number in range(len(draft))}
        likeliest: dict[int, int] = {}
        for one in draft.nodes:
            likeliest.setdefault(one.parent, one.token_id)
        tops = likeliest[ROOT]
        draft.lay_out()
        after = {tuple(path(draft, number)): draft.nodes[number] for number in range(len(draft))}
        assert {key: (one.depth, one.chance) for key, one in before.items()} == {
            key: (one.depth, one.chance) for key, one in after.items()
        }
        first = draft.first_child(ROOT)
        assert first is not None and first.token_id == tops
        for number, one in enumerate(draft.nodes):
            assert one.parent < number
            children = [other for other in draft.nodes if other.parent == number]
            best = max(children, key=lambda other: other.chance, default=None)
            assert draft.first_child(number) == best
            assert draft.child(one.parent, one.token_id) == number


def test_masks_are_the_paths() -> None:
    rng = random.Random(2)
    for _ in range(20):
        draft = random_draft(rng)
        draft.lay_out()
        for number, mask in enumerate(draft.masks_N().tolist()):
            wanted, at = 0, number
            while at != ROOT:
                wanted |= 1 << at
                at = draft.nodes[at].parent
            assert mask == wanted
            assert draft.depths_N()[number] == mask.bit_count()


def test_a_chain_is_told_from_a_tree() -> None:
    draft = Draft()
    draft.add(node(5, ROOT, 1))
    draft.add(node(6, 0, 2))
    assert draft.is_chain
    draft.add(node(7, 0, 2))
    assert not draft.is_chain
    draft.cut(2)
    assert draft.is_chain
    assert draft.child(0, 7) is None
    assert len(draft) == 2
