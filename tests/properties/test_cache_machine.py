"""Pool, prefix index and tables against a naive model that remembers what every slot holds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,  # pyright: ignore
)

from tests.properties.strategies import namespaces, token_runs
from weft.cache import BlockPool, BlockTable, Lease, Namespace, RadixTree

NUM_BLOCKS = 33
BLOCK = 2
MAX_TABLES = 4
MAX_TOKENS = 14
MAX_LEASES = 2
EXAMPLES = 125
STEPS = 100

Tokens = tuple[int, ...]
Prefix = tuple[Namespace, Tokens]


@dataclass
class Sequence:
    """A table and the tokens whose KV its slots must hold."""

    table: BlockTable
    namespace: Namespace
    tokens: Tokens


@dataclass
class Cached:
    """What the naive index knows of one cached block, keyed by its whole prefix."""

    block_id: int
    last_use: int


@dataclass
class NaiveIndex:
    """A dictionary from prefix to block: no edges, no nodes, no splits."""

    cached: dict[Prefix, Cached] = field(default_factory=dict[Prefix, Cached])
    leases: list[tuple[Lease, Prefix]] = field(default_factory=list[tuple[Lease, Prefix]])
    now: int = 0

    def longest(self, namespace: Namespace, tokens: Tokens) -> list[Prefix]:
        """The cached prefixes of the tokens, shortest first, marked as used."""
        self.now += 1
        found: list[Prefix] = []
        for end in range(BLOCK, len(tokens) + 1, BLOCK):
            prefix = (namespace, tokens[:end])
            if prefix not in self.cached:
                break
            self.cached[prefix].last_use = self.now
            found.append(prefix)
        return found

    def is_pinned(self, prefix: Prefix) -> bool:
        namespace, tokens = prefix
        return any(
            leased_namespace == namespace and leased[: len(tokens)] == tokens
            for _, (leased_namespace, leased) in self.leases
        )

    def is_leaf(self, prefix: Prefix) -> bool:
        namespace, tokens = prefix
        return not any(
            other == namespace and len(longer) > len(tokens) and longer[: len(tokens)] == tokens
            for other, longer in self.cached
        )

    def unpinned(self) -> list[Prefix]:
        return [prefix for prefix in self.cached if not self.is_pinned(prefix)]

    def next_victim(self) -> Prefix | None:
        leaves = [prefix for prefix in self.unpinned() if self.is_leaf(prefix)]
        return min(leaves, key=lambda prefix: self.cached[prefix].last_use, default=None)


class CacheMachine(RuleBasedStateMachine):
    num_operations = 0

    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(NUM_BLOCKS, BLOCK)
        self.tree = RadixTree(self.pool)
        self.index = NaiveIndex()
        self.sequences: list[Sequence] = []
        self.contents: npt.NDArray[np.int64] = np.zeros(NUM_BLOCKS * BLOCK, dtype=np.int64)
        self.known_contents: dict[Prefix, list[int]] = {}

    # What the shadow KV holds: a number for each (namespace, all tokens up to the slot's own).

    def content_of(self, namespace: Namespace, tokens: Tokens) -> list[int]:
        known = self.known_contents.get((namespace, tokens))
        if known is None:
            before = self.content_of(namespace, tokens[:-1]) if tokens else []
            known = [*before, len(self.known_contents)] if tokens else []
            self.known_contents[namespace, tokens] = known
        return known

    def pick(self, at: int) -> Sequence:
        return self.sequences[at % len(self.sequences)]

    def write(self, sequence: Sequence, tokens: Tokens) -> bool:
        """What the engine does each Tick: make writable, grow, write; all or nothing."""
        start = len(sequence.tokens)
        copies = sequence.table.try_make_writable(self.pool)
        if copies is None:
            return False
        shadow = self.contents.reshape(NUM_BLOCKS, BLOCK)
        for source, target in copies:
            shadow[target] = shadow[source]
        if not sequence.table.try_grow(self.pool, start + len(tokens)):
            return False
        sequence.tokens += tokens
        slots = sequence.table.slots_for(start, len(sequence.tokens))
        self.contents[slots] = self.content_of(sequence.namespace, sequence.tokens)[start:]
        return True

    @precondition(lambda self: len(self.sequences) < MAX_TABLES)
    @rule(namespace=namespaces(), tokens=token_runs(), use_index=st.booleans())
    def start(self, namespace: Namespace, tokens: Tokens, use_index: bool) -> None:
        table = BlockTable(BLOCK)
        num_shared = 0
        if use_index:
            match = self.tree.match(namespace, tokens)
            found = self.index.longest(namespace, tokens)
            assert match.block_ids == [self.index.cached[prefix].block_id for prefix in found]
            assert match.num_tokens == len(found) * BLOCK
            table = BlockTable.sharing(self.pool, match.block_ids)
            num_shared = match.num_tokens
        sequence = Sequence(table, namespace, tokens[:num_shared])
        self.sequences.append(sequence)
        self.write(sequence, tokens[num_shared:])

    @precondition(lambda self: self.sequences)
    @rule(at=st.integers(0, MAX_TABLES), tokens=token_runs(5))
    def grow(self, at: int, tokens: Tokens) -> None:
        sequence = self.pick(at)
        if len(sequence.tokens) + len(tokens) <= MAX_TOKENS:
            missing = sequence.table.num_missing_blocks(len(sequence.tokens) + len(tokens))
            num_free = self.pool.num_free
            if not self.write(sequence, tokens):
                assert num_free <= missing

    @precondition(lambda self: 0 < len(self.sequences) < MAX_TABLES)
    @rule(at=st.integers(0, MAX_TABLES))
    def fork(self, at: int) -> None:
        parent = self.pick(at)
        num_used = self.pool.num_used
        twin = parent.table.fork(self.pool)
        self.sequences.append(Sequence(twin, parent.namespace, parent.tokens))
        assert self.pool.num_used == num_used

    @precondition(lambda self: self.sequences)
    @rule(at=st.integers(0, MAX_TABLES), share=st.floats(0, 1))
    def truncate(self, at: int, share: float) -> None:
        sequence = self.pick(at)
        num_kept = int(share * len(sequence.tokens))
        sequence.table.truncate(self.pool, num_kept)
        sequence.tokens = sequence.tokens[:num_kept]

    @precondition(lambda self: self.sequences)
    @rule(at=st.integers(0, MAX_TABLES))
    def free(self, at: int) -> None:
        sequence = self.sequences.pop(at % len(self.sequences))
        sequence.table.free(self.pool)

    @precondition(lambda self: self.sequences)
    @rule(at=st.integers(0, MAX_TABLES), swaps=st.booleans(), leases=st.booleans())
    def insert(self, at: int, swaps: bool, leases: bool) -> None:
        sequence = self.pick(at)
        namespace, tokens, own = sequence.namespace, sequence.tokens, sequence.table.block_ids
        known = self.index.longest(namespace, tokens)
        insertion = self.tree.insert(namespace, tokens, own)
        assert insertion.num_known_blocks == len(known)
        for at_block in range(len(known), len(tokens) // BLOCK):
            prefix = (namespace, tokens[: (at_block + 1) * BLOCK])
            self.index.cached[prefix] = Cached(own[at_block], self.index.now)
        full = tokens[: len(tokens) // BLOCK * BLOCK]
        expected = [
            self.index.cached[namespace, full[:end]].block_id
            for end in range(BLOCK, len(full) + 1, BLOCK)
        ]
        assert insertion.block_ids == expected
        if swaps:
            sequence.table.swap_prefix(self.pool, insertion.block_ids)
        if leases and full and len(self.index.leases) < MAX_LEASES:
            self.index.leases.append((self.tree.lock(insertion.node), (namespace, full)))

    @precondition(lambda self: self.index.cached)
    @rule(at=st.integers(0, NUM_BLOCKS))
    def touch(self, at: int) -> None:
        """A match that nobody acts on still counts as a use."""
        namespace, tokens = list(self.index.cached)[at % len(self.index.cached)]
        found = self.index.longest(namespace, tokens)
        assert self.tree.match(namespace, tokens).num_tokens == len(found) * BLOCK

    @rule(namespace=namespaces(), tokens=token_runs())
    def serve(self, namespace: Namespace, tokens: Tokens) -> None:
        """A sequence from its match to its end: only the index keeps what it wrote."""
        self.start(namespace, tokens, True)
        self.insert(len(self.sequences) - 1, False, False)
        self.free(len(self.sequences) - 1)

    @precondition(lambda self: len(self.index.leases) < MAX_LEASES)
    @rule(namespace=namespaces(), tokens=token_runs())
    def match_and_lease(self, namespace: Namespace, tokens: Tokens) -> None:
        found = self.index.longest(namespace, tokens)
        match = self.tree.match(namespace, tokens)
        assert match.block_ids == [self.index.cached[prefix].block_id for prefix in found]
        lease = self.tree.lock(match.node)
        if found:
            self.index.leases.append((lease, found[-1]))

    @precondition(lambda self: self.index.leases)
    @rule(at=st.integers(0, 20), twice=st.booleans())
    def release(self, at: int, twice: bool) -> None:
        lease, _ = self.index.leases.pop(at % len(self.index.leases))
        lease.release()
        if twice:
            lease.release()

    @rule(num_blocks=st.sampled_from([1, 1, 1, 2, 5]))
    def evict(self, num_blocks: int) -> None:
        num_freed = 0
        while num_freed < num_blocks and (victim := self.index.next_victim()):
            block_id = self.index.cached.pop(victim).block_id
            num_freed += self.pool.refcount(block_id) == 1
        assert self.tree.evict(num_blocks) == num_freed

    @rule(namespace=st.none() | namespaces(), really=st.integers(0, 19))
    def clear(self, namespace: Namespace | None, really: int) -> None:
        if really < 19:
            return
        gone = [p for p in self.index.unpinned() if namespace is None or p[0] == namespace]
        block_ids = [self.index.cached.pop(prefix).block_id for prefix in gone]
        num_freed = sum(self.pool.refcount(block_id) == 1 for block_id in block_ids)
        assert self.tree.clear(namespace) == num_freed

    @invariant()
    def blocks_are_counted(self) -> None:
        type(self).num_operations += 1
        refcounts = [0] * NUM_BLOCKS
        for sequence in self.sequences:
            assert sequence.table.num_blocks == -(-len(sequence.tokens) // BLOCK)
            for block_id in sequence.table.block_ids:
                refcounts[block_id] += 1
        for cached in self.index.cached.values():
            refcounts[cached.block_id] += 1
        assert refcounts == [self.pool.refcount(block_id) for block_id in range(NUM_BLOCKS)]
        assert self.pool.num_used == sum(map(bool, refcounts))
        assert self.pool.num_used + self.pool.num_free == NUM_BLOCKS - 1

    @invariant()
    def the_index_is_counted(self) -> None:
        assert self.tree.num_cached_blocks == len(self.index.cached)
        assert self.tree.num_evictable_blocks == len(self.index.unpinned())
        assert self.tree.num_namespaces == len({namespace for namespace, _ in self.index.cached})

    @invariant()
    def no_sequence_sees_another_ones_content(self) -> None:
        for sequence in self.sequences:
            slots = sequence.table.slots_for(0, sequence.table.num_tokens)
            expected = self.content_of(sequence.namespace, sequence.tokens)
            assert self.contents[slots].tolist() == expected
        shadow = self.contents.reshape(NUM_BLOCKS, BLOCK)
        for (namespace, tokens), cached in self.index.cached.items():
            expected = self.content_of(namespace, tokens)[-BLOCK:]
            assert shadow[cached.block_id].tolist() == expected

    def teardown(self) -> None:
        """When everybody lets go, nothing is left."""
        for sequence in self.sequences:
            sequence.table.free(self.pool)
        for lease, _ in self.index.leases:
            lease.release()
        assert self.tree.num_evictable_blocks == self.tree.num_cached_blocks
        self.tree.evict(NUM_BLOCKS)
        assert (self.tree.num_cached_blocks, self.pool.num_used) == (0, 0)
        assert not list(self.tree.nodes())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_operations_keep_every_block_accounted_for() -> None:
    CacheMachine.num_operations = 0
    run_state_machine_as_test(
        CacheMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
    assert CacheMachine.num_operations >= 10_000
