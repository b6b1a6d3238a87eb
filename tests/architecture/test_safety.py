"""Nothing in the sources can run code that arrives as data."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.sources import Source, repository_sources

MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
CALLS = {"eval", "exec", "torch.load", "yaml.load", "os.system", "builtins.eval", "builtins.exec"}
OPTIONS = {"trust_remote_code", "allow_pickle", "shell"}
CONFINED = {"tools/builtin/python_worker.py": {"exec", "eval"}}
"""What runs inside the sandbox only, where running a model's code is its purpose."""


def dangers(tree: ast.Module) -> Iterator[str]:
    """What in a module could run data as code, with its line."""
    for node in ast.walk(tree):
        for danger in _dangers_of(node):
            yield f"line {getattr(node, 'lineno', 0)}: {danger}"


def _dangers_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (a.name for a in node.names if a.name.split(".")[0] in MODULES)
    elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
        yield node.module or ""
    elif isinstance(node, ast.Call):
        yield from _dangers_of_call(node)


def _dangers_of_call(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    options = {word.arg: ast.unparse(word.value) for word in node.keywords}
    if name in CALLS and not (name == "torch.load" and options.get("weights_only") == "True"):
        yield name
    for option, value in options.items():
        if option in OPTIONS and value != "False":
            yield f"{name}({option}=…)"


@pytest.mark.parametrize("source", repository_sources(), ids=lambda source: source.path)
def test_source_runs_no_data(source: Source) -> None:
    found = {danger.partition(": ")[2] for danger in dangers(source.tree)}
    assert found == CONFINED.get(source.path, set())


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import dill as d",
        "eval('1')",
        "torch.load(path)",
        "torch.load(path, weights_only=flag)",
        "Auto.from_pretrained(name, trust_remote_code=True)",
        "np.load(path, allow_pickle=flag)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_rule_sees_each_danger(code: str) -> None:
    assert len(list(dangers(ast.parse(code)))) == 1


def test_rule_allows_what_is_harmless() -> None:
    code = "model.eval()\nAuto.from_pretrained(name, trust_remote_code=False)\nimport json"
    code += "\ntorch.load(path, weights_only=True)"
    assert list(dangers(ast.parse(code))) == []
