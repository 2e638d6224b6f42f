"""What is measured of the tokens that a service accepts, while answers take long."""

from __future__ import annotations

from collections.abc import Mapping

from together_adapters.control.limits.admission_queue import AdmissionQueue, Ticket
from together_adapters.control.limits.rates import Rate


def test_an_answer_counts_when_it_was_asked_for_however_long_it_takes() -> None:
    rate = Rate(None)
    entries = []
    for second in range(60):  # 200 tokens a second, which were estimated at 1,000
        entries.append(rate.take(1000, second))
        if second >= 10:
            rate.settle(entries[second - 10], 200)
    rate.refuse(rate.take(1000, 60), 60.1, is_cause=True)
    for entry in entries[50:]:
        rate.settle(entry, 200)
    rate.recover(70)
    assert 150 <= rate.estimate <= 200


def test_what_was_sent_long_ago_still_counts_where_little_is_sent() -> None:
    rate = Rate(None)
    for number in range(200):
        rate.take(1, 2.0 * number)
    rate.refuse(rate.take(1, 400), 400.1, is_cause=True)
    rate.recover(401)
    assert 0.4 <= rate.estimate <= 0.5


def test_what_was_refused_counts_as_little_as_what_it_used() -> None:
    rate = Rate(None)
    for second in range(30):
        rate.take(100, second)
    refused = rate.take(100, 30)
    rate.refuse(refused, 30.1, is_cause=True)
    rate.settle(refused, 5000)  # as its body says
    rate.recover(31)
    assert 80 <= rate.estimate <= 100


def test_one_client_that_sleeps_through_a_pause_has_no_shorter_time_behind_it() -> None:
    queue = AdmissionQueue()
    for second in range(60):  # one after another, each a second long
        send(queue, second, 200, second + 1)
    send(queue, 60, 429, 60.01, {"retry-after": "20"})
    send(queue, 80.01, 200, 81)
    assert queue.requests.estimate <= 1.1


def send(queue: AdmissionQueue, now: float, status: int, end: float, headers: Mapping[str, str] = {}) -> None:
    ticket = Ticket(0, queue.number())
    queue.join(ticket, now)
    assert ticket.granted
    queue.finish(ticket, status, headers, None, None, end)
