"""Tools that come with weft: code, commands, files, pages, for one workspace."""

from weft.tools.builtin.file_work import Listing, Matches, Passage
from weft.tools.builtin.http import HttpOptions, Page, http_tools
from weft.tools.builtin.python_answer import PythonResult
from weft.tools.builtin.shell import ShellResult
from weft.tools.builtin.toolbox import ToolboxOptions, open_toolbox

__all__ = [
    "HttpOptions",
    "Listing",
    "Matches",
    "Page",
    "Passage",
    "PythonResult",
    "ShellResult",
    "ToolboxOptions",
    "http_tools",
    "open_toolbox",
]
