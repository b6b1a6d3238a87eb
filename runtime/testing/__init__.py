"""For tests of programs: an engine that follows a script, and time that stands still."""

from weft.runtime.testing.clock import ManualClock
from weft.runtime.testing.scripted import Prompted, Reply, Script, ScriptedEngine
from weft.runtime.testing.sequencer import Sequencer, settle

__all__ = ["ManualClock", "Prompted", "Reply", "Script", "ScriptedEngine", "Sequencer", "settle"]
