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
from weft.programs.export import export_tree
from weft.programs.function import StepFunction, step
from weft.programs.generate import GenOptions, gen
from weft.programs.handle import Step
from weft.programs.heads import HEADS, SKELETON, HeadForm
from weft.programs.hogwild import HogwildLane, HogwildTeam, hogwild
from weft.programs.lane import Layout
from weft.programs.lead import Control, Lead
from weft.programs.message import Message, ToolCall
from weft.programs.parallel_call import call_tool
from weft.programs.patterns import Ebnf, JsonSchema, Regex
from weft.programs.region_form import Rebuilt, RegionForm
from weft.programs.regions import FORMS
from weft.programs.request import Completion
from weft.programs.retry import Retry
from weft.programs.signature import Arguments
from weft.programs.token_tree import TokenNode, TokenTree, TreeBranch
from weft.programs.token_trie import merge_trajectories
from weft.programs.toolstep import ToolStep, tool
from weft.programs.trajectory import Trajectory
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
    "HogwildLane",
    "HogwildTeam",
    "JsonSchema",
    "Layout",
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
    "TokenNode",
    "TokenTree",
    "ToolCall",
    "ToolStep",
    "Trajectory",
    "TreeBranch",
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
    "export_tree",
    "from_node_link",
    "gen",
    "gen_regions",
    "hogwild",
    "join",
    "merge_trajectories",
    "pmap",
    "program",
    "race",
    "step",
    "to_node_link",
    "tool",
    "verifier",
    "vote",
]
