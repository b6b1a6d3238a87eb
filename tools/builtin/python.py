"""Python code, run where it can reach nothing but the workspace."""

from __future__ import annotations

from weft.tools.builtin.place import SandboxPlace, in_name_of
from weft.tools.builtin.python_answer import PythonResult
from weft.tools.builtin.python_fresh import run_fresh
from weft.tools.builtin.python_session import PythonSession
from weft.tools.tool import Tool, as_tool

__all__ = ["fresh_python_tool", "stateful_python_tool"]

NAME = "python"


def fresh_python_tool(place: SandboxPlace) -> Tool[[str, float | None, str | None], PythonResult]:
    """A tool called ``python`` that runs each call in a process of its own."""

    async def python(
        code: str, timeout_s: float | None = None, memory: str | None = None
    ) -> PythonResult:
        """Run Python code in the workspace, which is the current folder. Each call is a new
        process. You get the value of a last expression, what was printed, and the traceback of an
        error. There is no network.

        Args:
            code: Statements; the value of a last expression is shown.
            timeout_s: Seconds it may take, where the default is too short.
            memory: Memory it may use, such as "1 GiB", where the default is too little.
        """
        with in_name_of(NAME):
            limits = await place.limits_of(memory, timeout_s)
            return await run_fresh(await place.sandbox, code, limits, place)

    return as_tool(python, effect="write", timeout_s=place.timeout_s, resources=place.resources)


def stateful_python_tool(
    place: SandboxPlace, session: PythonSession
) -> Tool[[str, float | None], PythonResult]:
    """A tool called ``python`` that keeps its variables from call to call."""

    async def python(code: str, timeout_s: float | None = None) -> PythonResult:
        """Run Python code in the workspace, which is the current folder. Variables, functions and
        imports stay for later calls. You get the value of a last expression, what was printed, and
        the traceback of an error. There is no network.

        Args:
            code: Statements; the value of a last expression is shown.
            timeout_s: Seconds it may take, where the default is too short.
        """
        with in_name_of(NAME):
            limits = await place.limits_of(None, timeout_s)
            return await session.run(code, limits.wall_s)

    return as_tool(python, effect="write", timeout_s=place.timeout_s, resources=place.resources)
