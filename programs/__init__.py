"""What a workflow is: plain async functions whose Steps are handles. Pure data, no tensors."""

from weft.programs.budget import Budget
from weft.programs.candidates import Arrival, Candidates
from weft.programs.combine import pmap, race, vote
from weft.programs.context import Context, context, join
from weft.programs.dag import (
    CriticalPath,
    Node,
    build_dag,
    critical_path,
    from_node_link,
    to_node_link,
)
from weft.programs.dialogue import Chat, chat
from weft.programs.draw_mermaid import draw_mermaid
from weft.programs.draw_svg import draw_svg
from weft.programs.entry import Program, program
from weft.programs.function import StepFunction, step
from weft.programs.generate import GenOptions, gen
from weft.programs.handle import Step
from weft.programs.heads import HEADS, SKELETON, HeadForm
from weft.programs.lead import Control, Lead
from weft.programs.message import Message, ToolCall
from weft.programs.parallel_call import call_tool
from weft.programs.patterns import Ebnf, JsonSchema, Regex
from weft.programs.region_form import Rebuilt, RegionForm
from weft.programs.regions import FORMS
from weft.programs.request import Completion
from weft.programs.retry import Retry
from weft.programs.signature import Arguments
from weft.programs.toolstep import ToolStep, tool
from weft.programs.unfold import gen_regions
from weft.programs.unfolded import BranchRun, RegionRun, Unfolded
from weft.programs.verdict import Verdict
from weft.programs.verify import Verifier, verifier

__all__ = [
    "FORMS",
    "HEADS",
    "SKELETON",
    "Arguments",
    "Arrival",
    "BranchRun",
    "Budget",
    "Candidates",
    "Chat",
    "Completion",
    "Context",
    "Control",
    "CriticalPath",
    "Ebnf",
    "GenOptions",
    "HeadForm",
    "JsonSchema",
    "Lead",
    "Message",
    "Node",
    "Program",
    "Rebuilt",
    "Regex",
    "RegionForm",
    "RegionRun",
    "Retry",
    "Step",
    "StepFunction",
    "ToolCall",
    "ToolStep",
    "Unfolded",
    "Verdict",
    "Verifier",
    "build_dag",
    "call_tool",
    "chat",
    "context",
    "critical_path",
    "draw_mermaid",
    "draw_svg",
    "from_node_link",
    "gen",
    "gen_regions",
    "join",
    "pmap",
    "program",
    "race",
    "step",
    "to_node_link",
    "tool",
    "verifier",
    "vote",
]
