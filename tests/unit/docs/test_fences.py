from __future__ import annotations

import pytest

from tests.support.fences import Fence, fences


def test_blocks_come_in_order_with_language_and_line() -> None:
    page = "# A\n\n```python\nx = 1\n\ny = 2\n```\ntext\n~~~\nplain\n~~~\n"
    assert list(fences(page)) == [
        Fence("python", "x = 1\n\ny = 2\n", 4),
        Fence("", "plain\n", 10),
    ]


def test_longer_fence_holds_a_shorter_one() -> None:
    (block,) = fences("````md\n```python\nx\n```\n````\n")
    assert block == Fence("md", "```python\nx\n```\n", 2)


def test_inline_code_opens_nothing() -> None:
    assert list(fences("```not a fence``` and `code`\n")) == []


def test_open_block_is_an_error() -> None:
    with pytest.raises(ValueError, match="line 2 is never closed"):
        list(fences("text\n```python\nx = 1\n"))
