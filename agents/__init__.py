"""What people build: models in roles, with tools."""

from weft.agents.agent import Agent, AgentOptions, Transcript
from weft.agents.offered import AgentTool
from weft.agents.tool_call import call_tool

__all__ = ["Agent", "AgentOptions", "AgentTool", "Transcript", "call_tool"]
