from __future__ import annotations

import pytest

from weft.cache import Lease


def test_a_lease_is_released_exactly_once() -> None:
    releases: list[str] = []
    lease = Lease(lambda: releases.append("released"))
    assert not lease.is_released
    lease.release()
    lease.release()
    assert lease.is_released
    assert releases == ["released"]


def test_a_lease_ends_with_its_block_even_on_an_error() -> None:
    releases: list[str] = []
    with pytest.raises(KeyError), Lease(lambda: releases.append("released")) as lease:
        raise KeyError
    assert lease.is_released
    assert releases == ["released"]
