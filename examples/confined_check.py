"""Code that nobody has to trust looks at what a model wrote: `weft run examples/confined_check.py`.

Players propose operations on the numbers of a Countdown. While they decode, a workspace is made
and a sandbox starts. Then a file takes the proposals, a shell command counts equal ones, and
Python, which keeps its variables from call to call, computes them: text of a model run as code,
where it can reach nothing but that workspace.
"""

from __future__ import annotations

from pydantic import BaseModel

from weft import Regex, chat, program
from weft.programs import ToolStep
from weft.tools.builtin import ToolboxOptions, open_toolbox
from weft.tools.environment import Environment, FolderNeed

NUM_PLAYERS = 6
OPERATION = Regex(r"[0-9]{1,4}[-+*/][0-9]{1,4}")
LOAD = "lines = open('proposals.txt').read().split()"
COMPUTE = """def value(line):
    try:
        return round(eval(line), 2)
    except ZeroDivisionError:
        return None
{line: value(line) for line in sorted(set(lines))}"""


class Findings(BaseModel):
    proposals: list[str]
    counted: str
    """How often each was proposed."""
    values: str
    """What each comes to."""
    hidden_share: float
    """Of the time that the workspace took, the part in which the model was writing anyway."""


@program
async def confined_check(numbers: tuple[int, ...] = (3, 5, 8, 12), target: int = 24) -> Findings:
    """Have several players propose an operation, and look at the proposals in a sandbox."""
    async with Environment() as environment:
        folder = environment.prepare(FolderNeed())
        async with open_toolbox(folder, ToolboxOptions(python="stateful")) as tools:
            asked = f"{target}: {' '.join(map(str, sorted(numbers)))}"
            talk = chat("Countdown.").user(asked)
            proposals = await talk.gen(out=OPERATION, n=NUM_PLAYERS, max_tokens=9, temperature=1.0)
            write, shell, python = (
                ToolStep(tools.get(name)) for name in ("write_file", "shell", "python")
            )
            await write(path="proposals.txt", content="\n".join(proposals) + "\n")
            counted = await shell("sort proposals.txt | uniq -c | sort -rn")
            await python(LOAD)
            computed = await python(COMPUTE)
            return Findings(
                proposals=list(proposals),
                counted=counted.stdout,
                values=computed.value or computed.error,
                hidden_share=folder.hidden_share,
            )
