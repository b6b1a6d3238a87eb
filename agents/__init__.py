"""What people build: models in roles, with tools."""

from weft.agents.agent import Agent, AgentOptions, AgentTool, Transcript

__all__ = ["Agent", "AgentOptions", "AgentTool", "Transcript"]
