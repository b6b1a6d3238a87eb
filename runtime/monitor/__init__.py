"""What programs do, for other processes of the same user: `weft top` asks here."""

from __future__ import annotations

from weft.runtime.monitor.client import watch
from weft.runtime.monitor.folder import MonitorAddress, default_folder, find_monitors
from weft.runtime.monitor.server import Monitor

__all__ = ["Monitor", "MonitorAddress", "default_folder", "find_monitors", "watch"]
