"""Folders for commands: shared where they are alike, forked at little cost, kept on success."""

from weft.tools.workspace.layers import Layer
from weft.tools.workspace.workspace import Workspace
from weft.tools.workspace.workspaces import Workspaces

__all__ = ["Layer", "Workspace", "Workspaces"]
