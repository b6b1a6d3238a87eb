"""What tools and programs need around them: prepared ahead of use, collected afterwards."""

from weft.tools.environment.database import DatabaseNeed
from weft.tools.environment.environment import Environment, Need
from weft.tools.environment.folder import FolderNeed
from weft.tools.environment.port import PortNeed
from weft.tools.environment.preparation import Preparation
from weft.tools.environment.process import ProcessNeed
from weft.tools.environment.site import Site
from weft.tools.environment.workspace import WorkspaceNeed

__all__ = [
    "DatabaseNeed",
    "Environment",
    "FolderNeed",
    "Need",
    "PortNeed",
    "Preparation",
    "ProcessNeed",
    "Site",
    "WorkspaceNeed",
]
