"""Docstrings in the three usual styles say the same."""

from __future__ import annotations

import pytest

from weft.tools.docstring import parse_docstring

GOOGLE = """Find a city.

    It must exist.

    Args:
        name (str): Its name,
            in English.
        country: Where it lies: a code.

    Returns:
        A city: the first.
    """

NUMPY = """Find a city.

    It must exist.

    Parameters
    ----------
    name : str
        Its name,
        in English.
    country
        Where it lies: a code.

    Returns
    -------
    str
        A city: the first.
    """

SPHINX = """Find a city.

    It must exist.

    :param str name: Its name,
        in English.
    :param country: Where it lies: a code.
    :returns: A city: the first.
    """


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_every_style_is_read(text: str) -> None:
    parsed = parse_docstring(text)
    assert parsed.description == "Find a city.\n\nIt must exist."
    assert parsed.parameters == {
        "name": "Its name, in English.",
        "country": "Where it lies: a code.",
    }


@pytest.mark.parametrize("text", ["", "Args:", "Args:\n\n", ":param x", ":param", "---", "a\n---"])
def test_odd_docstrings_do_no_harm(text: str) -> None:
    assert parse_docstring(text).parameters == {}
