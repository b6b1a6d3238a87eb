"""What may be restored out of turn."""

from __future__ import annotations

from weft.runtime.scheduler.restore_credit import RestoreCredit


def test_what_is_spent_is_earned_again_by_its_share_of_time() -> None:
    credit = RestoreCredit(share=0.1)
    assert credit.is_left("r", 0.0)
    credit.pay("r", 2.0, 0.0)
    assert not credit.is_left("r", 9.0) and credit.is_left("r", 11.0)
    assert credit.is_left("other", 0.0)


def test_time_without_need_earns_a_second_at_most() -> None:
    credit = RestoreCredit(share=0.5)
    credit.pay("r", 0.0, 1000.0)
    credit.pay("r", 2.0, 2000.0)
    assert not credit.is_left("r", 2001.0) and credit.is_left("r", 2002.5)
