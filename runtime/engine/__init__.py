"""An engine: what turns Requests into tokens.

The door imports no model code; ``open_engine`` does when it is called.
"""

from __future__ import annotations

from weft.runtime.engine.config import EngineConfig
from weft.runtime.engine.opening import open_engine
from weft.runtime.engine.protocol import Capabilities, Engine, EngineStats, KvHolder

__all__ = ["Capabilities", "Engine", "EngineConfig", "EngineStats", "KvHolder", "open_engine"]
