import threading
from queue import SimpleQueue

import pytest

from onlygood.runtime.rows.verdicts import Stamp
from onlygood.runtime.watch.courier import Backoff, Courier, Refused, Unreachable
from onlygood.runtime.watch.state import Entry, State, Unsaved, Verdict


class Receiver:
    """Answers as it is told: ``answers`` of entry number n, in turn; None takes it."""

    name = "webhook"

    def __init__(self, answers: dict[int, list[Exception | None]] | None = None) -> None:
        self.answers = answers or {}
        self.tried: list[int] = []
        self.closed = threading.Event()

    def send(self, entry: Entry) -> None:
        self.tried.append(entry.number)
        if (answers := self.answers.get(entry.number)) and (problem := answers.pop(0)) is not None:
            raise problem

    def close(self) -> None:
        self.closed.set()


class Post:
    """A courier on a clock of its own; `round` does a turn and waits until what it sent is done."""

    def __init__(self, state: State, receiver: Receiver) -> None:
        self.said: list[str] = []
        self.woken: SimpleQueue[None] = SimpleQueue()
        self.courier = Courier(receiver, state, lambda: self.woken.put(None), self.said.append)

    def round(self, now: float) -> None:
        self.courier.turn(now)
        while self.courier._busy:
            self.woken.get(timeout=10)
            self.courier._collect(now)


def filled(state: State, count: int) -> None:
    state.record(
        [
            Verdict(n, str(n).encode(), Stamp(1, n), "normal", 0.0, {"webhook": f"{n}"})
            for n in range(1, count + 1)
        ]
    )


def left(state: State) -> list[int]:
    return [entry.number for entry in state.waiting("webhook", 99)]


def test_pauses_double_up_to_the_longest() -> None:
    backoff, pauses = Backoff(longest=5.0), []
    for _ in range(5):
        backoff.failed(100.0)
        pauses.append(backoff.left(100.0))
    assert pauses == [1, 2, 4, 5, 5]
    assert (backoff.left(103.0), backoff.left(110.0)) == (2, 0)
    backoff.succeeded()
    assert (backoff.left(100.0), backoff.failing) == (0, False)


def test_all_is_told_in_order_and_taken_out() -> None:
    with State(None) as state:
        filled(state, 3)
        post = Post(state, receiver := Receiver())
        post.round(0.0)
        post.courier.turn(0.0)
        assert (receiver.tried, left(state), state.counts("told")) == ([1, 2, 3], [], {"webhook": 3})
        assert post.courier.idle


def test_who_cannot_be_reached_is_tried_after_a_pause_and_nothing_is_lost() -> None:
    gone = Unreachable("host cannot be reached")
    with State(None) as state:
        filled(state, 3)
        post = Post(state, receiver := Receiver({2: [gone, gone]}))
        post.round(0.0)
        post.round(0.5)  # too early
        assert (receiver.tried, left(state)) == ([1, 2], [2, 3])
        assert post.courier.due(0.25) == 0.75
        post.round(1.0)
        post.round(2.9)
        assert receiver.tried == [1, 2, 2]
        post.round(3.0)
        post.courier.turn(3.0)
        assert (receiver.tried, left(state)) == ([1, 2, 2, 2, 3], [])
        assert post.said == [
            "webhook: host cannot be reached; verdicts wait in the state until it is back",
            "webhook: reached again",
        ]


def test_one_that_is_refused_holds_up_no_other_and_is_tried_five_times() -> None:
    with State(None) as state:
        filled(state, 3)
        post = Post(state, receiver := Receiver({1: [Refused("answers 422")] * 9}))
        for now in (0.0, 0.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0):
            post.round(now)
        assert receiver.tried == [1, 2, 3, 1, 1, 1, 1]
        assert state.queued() == {"webhook": (0, 1)}
        assert "answers 422" in post.said[0]


def test_a_fault_of_a_library_is_no_end() -> None:
    with State(None) as state:
        filled(state, 1)
        post = Post(state, Receiver({1: [ZeroDivisionError("ouch")]}))
        post.round(0.0)
        assert post.said == ["webhook: ZeroDivisionError: ouch; verdicts wait in the state until it is back"]
        post.round(1.0)
        post.courier.turn(1.0)
        assert left(state) == []


def test_what_has_arrived_is_not_sent_again_while_the_state_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with State(None) as state:
        filled(state, 2)
        post = Post(state, receiver := Receiver())
        post.round(0.0)

        def full(*_: object) -> None:
            raise Unsaved("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(state, "settle", full)
            for now in (0.0, 1.0):
                with pytest.raises(Unsaved):
                    post.courier.turn(now)
        post.round(2.0)
        assert (receiver.tried, left(state)) == ([1, 2], [])


def test_closing_takes_out_what_has_arrived() -> None:
    with State(None) as state:
        filled(state, 2)
        post = Post(state, receiver := Receiver())
        post.courier.turn(0.0)
        receiver.closed.wait(0)
        while len(receiver.tried) < 1:
            post.woken.get(timeout=10)
        post.courier.close(10)
        assert receiver.closed.is_set()
        assert left(state) == [n for n in (1, 2) if n not in receiver.tried]
