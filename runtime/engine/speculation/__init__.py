"""Guessing tokens ahead without a draft model: what to guess, how much of it, what came true."""

from __future__ import annotations

from weft.runtime.engine.speculation.draft import ROOT, Draft
from weft.runtime.engine.speculation.drafter import Drafter
from weft.runtime.engine.speculation.goodput import Goodput, Load
from weft.runtime.engine.speculation.past import Pasts
from weft.runtime.engine.speculation.walk import GrammarWalk

__all__ = ["ROOT", "Draft", "Drafter", "Goodput", "GrammarWalk", "Load", "Pasts"]
