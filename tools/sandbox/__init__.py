"""Where code and shell tools run: confined to one folder, within limits, or not at all."""

from weft.tools.sandbox.advice import LimitName
from weft.tools.sandbox.files import read_beneath, write_beneath
from weft.tools.sandbox.held import HeldCommand
from weft.tools.sandbox.limits import SandboxLimits
from weft.tools.sandbox.probe import probe
from weft.tools.sandbox.report import SandboxLevel, SandboxReport
from weft.tools.sandbox.result import SandboxResult
from weft.tools.sandbox.sandbox import Sandbox

__all__ = [
    "HeldCommand",
    "LimitName",
    "Sandbox",
    "SandboxLevel",
    "SandboxLimits",
    "SandboxReport",
    "SandboxResult",
    "probe",
    "read_beneath",
    "write_beneath",
]
