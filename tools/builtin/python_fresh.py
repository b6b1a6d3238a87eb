"""Code in a process of its own."""

from __future__ import annotations

from weft.tools.builtin.place import SandboxPlace, ending
from weft.tools.builtin.python_answer import PythonResult, Question, worker_command
from weft.tools.meter import note_usage
from weft.tools.sandbox import Sandbox, SandboxLimits

__all__ = ["run_fresh"]


async def run_fresh(
    sandbox: Sandbox, code: str, limits: SandboxLimits, place: SandboxPlace
) -> PythonResult:
    """Run code to its end or its first limit; what it printed until then is kept."""
    question = Question(code, captures=False)
    result = await sandbox.run(worker_command(), stdin=question.line, limits=limits)
    note_usage(peak_memory_bytes=result.peak_memory_bytes, is_timed_out=result.limit == "wall")
    printed, answer = question.split(result.stdout)
    notice = ending(result)
    if answer is None and not notice:
        notice = f"Python ended with exit code {result.exit_code} before the code was through."
    return PythonResult(
        value=place.excerpt(answer.value) if answer and answer.value is not None else None,
        stdout=place.excerpt(printed),
        stderr=place.excerpt(result.stderr),
        error=place.excerpt(answer.error) if answer else "",
        limit=result.limit,
        notice=notice,
    )
