"""A window as headers describe it, when its limit changes."""

from __future__ import annotations

from together_adapters.control.limits.admission_queue import AdmissionQueue, Ticket


def send(queue: AdmissionQueue, now: float) -> Ticket:
    ticket = Ticket(0, queue.number())
    queue.join(ticket, now)
    return ticket


def send_beyond(queue: AdmissionQueue, now: float) -> Ticket:
    """Sends what the headers do not allow: one request tries whether they are true, the next waits."""
    assert send(queue, now).granted
    return send(queue, now)


def answer(queue: AdmissionQueue, ticket: Ticket, limit: int, remaining: int, reset: float, now: float) -> None:
    headers = {"x-ratelimit-limit": str(limit), "x-ratelimit-remaining": str(remaining), "x-ratelimit-reset": str(reset)}
    queue.answer(ticket, 200, headers, None, now)
    queue.end(ticket, None, now)


def test_another_limit_begins_a_window_of_its_own() -> None:
    queue = AdmissionQueue()
    answer(queue, send(queue, 0.0), 100, 99, 2.0, 0.01)  # until 2.01
    answer(queue, send(queue, 1.0), 50, 0, 2.0, 1.01)  # until 3.01: half the limit, and nothing is left of it
    ticket = send_beyond(queue, 2.5)
    assert not ticket.granted and ticket.alarm is not None and 3.0 <= ticket.alarm <= 3.1
    queue.advance(ticket.alarm)
    assert ticket.granted


def test_an_answer_that_comes_late_does_not_move_the_window() -> None:
    queue = AdmissionQueue()
    first, second = send(queue, 0.0), send(queue, 1.0)
    answer(queue, second, 50, 0, 2.0, 1.01)
    answer(queue, first, 100, 99, 2.0, 1.02)  # of the limit before
    ticket = send_beyond(queue, 2.5)
    assert not ticket.granted and ticket.alarm is not None


def test_headers_of_the_same_limit_do_not_lengthen_a_window() -> None:
    queue = AdmissionQueue()
    answer(queue, send(queue, 0.0), 100, 99, 2.0, 0.01)
    answer(queue, send(queue, 1.0), 100, 0, 2.0, 1.01)  # whole seconds, rounded up
    ticket = send_beyond(queue, 1.5)
    assert not ticket.granted and ticket.alarm is not None and 2.0 <= ticket.alarm <= 2.1
