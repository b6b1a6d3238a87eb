"""Running programs: structured concurrency, budgets, retries, events and records."""

from weft.runtime.executor.account import Spent
from weft.runtime.executor.clock import Clock, SystemClock, Timer
from weft.runtime.executor.run import Run
from weft.runtime.executor.sync import run_sync
from weft.runtime.observe.bus import Observer

__all__ = ["Clock", "Observer", "Run", "Spent", "SystemClock", "Timer", "run_sync"]
