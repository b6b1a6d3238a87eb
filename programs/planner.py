"""The static part of a program: run its code with Steps that never end."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import networkx as nx

from weft.programs.calls import Call, FunctionCall
from weft.programs.candidates import Candidates
from weft.programs.dag import Node, build_dag
from weft.programs.handle import Step, use
from weft.programs.lineage import LineageTaskFactory
from weft.programs.strand import CURRENT, Strand
from weft.tools import ToolRunner

__all__ = ["plan_call"]

QUIET_TURNS = 16
"""Turns of the loop without a new Step after which the code counts as waiting for data."""


class _Planner:
    """A scope whose Steps are noted and never run; child programs are planned as well."""

    def __init__(self, path: str, nodes: list[Node], tasks: list[asyncio.Future[Any]]) -> None:
        self._path = path
        self._nodes = nodes
        self._tasks = tasks

    @property
    def key(self) -> str:
        return self._path

    @property
    def tools(self) -> ToolRunner:
        """No tool is ever called."""
        return ToolRunner()

    def submit(self, call: Call, strand: Strand) -> Step[Any]:
        step = _handle(call, strand, self)
        kind = call.kind if isinstance(call, FunctionCall) else "gen"
        inputs = tuple(one.lineage for one in call.inputs)
        node = Node(
            lineage=step.lineage,
            name=call.name,
            kind=kind,
            parent=self._path,
            inputs=inputs,
            after=step.after,
        )
        self._nodes.append(node)
        for one in call.inputs:
            use(one)
        if isinstance(call, FunctionCall):
            self._enter(call, step.lineage)
        return step

    def _enter(self, call: FunctionCall, path: str) -> None:
        if call.is_structural and not call.inputs:
            self.start(call, path)
        elif call.abandon is not None:
            call.abandon()

    def start(self, call: FunctionCall, path: str) -> None:
        """Run the body of a program as a task of its own."""
        child = _Planner(path, self._nodes, self._tasks)
        task = asyncio.Task(_body(call, Strand(path, child)), loop=asyncio.get_running_loop())
        self._tasks.append(task)

    async def disband(self, team: str) -> None:
        """There is no engine."""

    def adopt(self, task: asyncio.Future[Any]) -> None:
        self._tasks.append(task)

    def claimed(self, step: Step[Any]) -> None:
        """Nothing is counted here: unused Steps are the executor's business."""

    was_read = cancel = stop = claimed


def _handle(call: Call, strand: Strand, owner: _Planner) -> Step[Any]:
    lineage, after = strand.child_path(call.name), strand.frontier()
    if isinstance(call, FunctionCall):
        return Step(lineage=lineage, name=call.name, kind=call.kind, owner=owner, after=after)
    if call.n is None:
        return Step(lineage=lineage, name=call.name, kind="gen", owner=owner, after=after)
    several: Candidates[Any] = Candidates(
        lineage=lineage, name=call.name, owner=owner, num_wanted=call.n, after=after
    )
    return several


async def _body(call: FunctionCall, strand: Strand) -> None:
    CURRENT.set(strand)
    value = call.function(*call.args, **call.kwargs)
    if inspect.isawaitable(value):
        await cast("Awaitable[object]", value)


def plan_call(call: FunctionCall) -> nx.DiGraph[str]:
    """The DAG of what a program submits before it needs data. Runs on a loop of its own.

    An error that the program's own code raises on the way is raised.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_plan(call))
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(lambda: asyncio.run(_plan(call))).result()


async def _plan(call: FunctionCall) -> nx.DiGraph[str]:
    nodes = [Node(lineage=call.name, name=call.name, kind=call.kind)]
    tasks: list[asyncio.Future[Any]] = []
    root = _Planner("", nodes, tasks)
    factory = LineageTaskFactory.enter(asyncio.get_running_loop(), root)
    try:
        root.start(call, call.name)
        await _settle(nodes)
        return build_dag(nodes)
    finally:
        factory.leave(root)
        await _end(tasks)


async def _settle(nodes: list[Node]) -> None:
    num_quiet = 0
    while num_quiet < QUIET_TURNS:
        num_known = len(nodes)
        await asyncio.sleep(0)
        num_quiet = num_quiet + 1 if len(nodes) == num_known else 0


async def _end(tasks: list[asyncio.Future[Any]]) -> None:
    for task in reversed(tasks):
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome
