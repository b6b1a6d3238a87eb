"""What ``import weft`` gives."""

from __future__ import annotations

import subprocess
import sys

import pytest

import weft


@pytest.mark.parametrize("name", weft.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(weft, name).__module__.startswith("weft.")


def test_names_are_sorted_and_listed() -> None:
    assert weft.__all__ == sorted(weft.__all__)
    assert set(weft.__all__) <= set(dir(weft))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = weft.nothing


@pytest.mark.slow
def test_importing_every_name_loads_no_tensors() -> None:
    code = "import sys, weft; [getattr(weft, name) for name in weft.__all__]; "
    code += "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


@pytest.mark.slow
def test_import_alone_is_light() -> None:
    code = "import sys, weft; heavy = {'pydantic', 'networkx', 'torch'} & set(sys.modules); "
    code += "assert not heavy, heavy"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
