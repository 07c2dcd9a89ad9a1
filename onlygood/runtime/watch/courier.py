"""Who is told of verdicts: a thread for each receiver, so that a dead one delays nobody."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol

from onlygood.runtime.watch.state import Entry, State

_BATCH = 32  # entries that a receiver's thread has at once


class Unreachable(Exception):  # noqa: N818 - nobody's error
    """The receiver cannot be reached, or is not well: nothing can be sent now. The message says why."""


class Refused(Exception):  # noqa: N818
    """The receiver does not take this entry; others may do. The message says why."""


class Receiver(Protocol):
    """Someone who is told of verdicts."""

    name: str

    def send(self, entry: Entry) -> None:
        """Send one entry and wait until it has arrived.

        Raises:
            Unreachable: the receiver cannot be reached.
            Refused: it does not take this entry.
        """

    def close(self) -> None:
        """Let go of connections."""


@dataclass
class Backoff:
    """Seconds to wait after failures: 1, 2, 4 … up to ``longest``."""

    longest: float = 300.0
    _failures: int = 0
    _until: float = 0.0

    def failed(self, now: float) -> None:
        """Wait twice as long as the last time."""
        self._until = now + min(2.0**self._failures, self.longest)
        self._failures = min(self._failures + 1, 20)

    def succeeded(self) -> None:
        """Wait no longer."""
        self._failures, self._until = 0, 0.0

    @property
    def failing(self) -> bool:
        """Whether the last try failed."""
        return self._failures > 0

    def left(self, now: float) -> float:
        """Seconds until the next try; 0 if there is nothing to wait for."""
        return max(0.0, self._until - now)


@dataclass(frozen=True)
class _Outcome:
    entry: Entry
    problem: Unreachable | Refused | None


class Courier:
    """Brings a receiver what waits for it in the state, in order, and takes out what has arrived.

    All but the sending happens in the caller's thread, in `turn`.

    Args:
        receiver: who is told.
        state: holds what waits.
        wake: is called, in any thread, when `turn` has something to do.
        say: is called with what people should know.
    """

    def __init__(
        self, receiver: Receiver, state: State, wake: Callable[[], None], say: Callable[[str], None]
    ) -> None:
        self.name = receiver.name
        self.backoff = Backoff()
        self._receiver = receiver
        self._state = state
        self._wake = wake
        self._say = say
        self._orders: SimpleQueue[Sequence[Entry] | None] = SimpleQueue()
        self._outcomes: SimpleQueue[_Outcome | None] = SimpleQueue()  # None ends a batch
        self._busy = False
        self._told: set[int] = set()  # not taken out of the state yet
        self._refused: set[int] = set()
        self._later: set[int] = set()  # refused: not again before all others, and a pause
        self._pause = Backoff()
        self._thread = threading.Thread(target=self._work, name=self.name, daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way and all that has arrived was taken out."""
        return not self._busy and not self._told and not self._refused

    def turn(self, now: float) -> None:
        """Take out what has arrived, and send on what waits.

        Raises:
            Unsaved: the state cannot be written; what has arrived is taken out another time.
        """
        self._collect(now)
        if self._told or self._refused:
            self._state.settle(self.name, self._told, self._refused)
            self._told.clear()
            self._refused.clear()
        if self._busy or self.backoff.left(now) > 0:
            return
        entries = self._state.waiting(self.name, _BATCH, self._later)
        if not entries and self._later and not self._pause.left(now):
            self._later.clear()
            entries = self._state.waiting(self.name, _BATCH)
        if entries:
            self._busy = True
            self._orders.put(entries)

    def _collect(self, now: float) -> None:
        while True:
            try:
                outcome = self._outcomes.get_nowait()
            except Empty:
                return
            if outcome is None:
                self._busy = False
                continue
            match outcome.problem:
                case None:
                    if self.backoff.failing:
                        self._say(f"{self.name}: reached again")
                    self.backoff.succeeded()
                    self._pause.succeeded()
                    self._told.add(outcome.entry.number)
                case Refused() as problem:
                    if not self._pause.failing:
                        self._say(f"{self.name}: verdict {outcome.entry.id} is not taken: {problem}")
                    self._pause.failed(now)
                    self._refused.add(outcome.entry.number)
                    self._later.add(outcome.entry.number)
                case Unreachable() as problem:
                    if not self.backoff.failing:
                        self._say(f"{self.name}: {problem}; verdicts wait in the state until it is back")
                    self.backoff.failed(now)

    def due(self, now: float) -> float | None:
        """Seconds until `turn` has something to do of which nobody wakes the caller; None if nothing."""
        left = max(self.backoff.left(now), self._pause.left(now))
        return left if left > 0 else None

    def close(self, seconds: float) -> None:
        """Stop sending: wait for what is on its way, but not longer than this. What has arrived is taken out.

        Raises:
            Unsaved: the state cannot be written, so what has arrived will be sent again.
        """
        self._orders.put(None)
        self._thread.join(seconds)
        self._collect(0.0)
        if self._told or self._refused:
            self._state.settle(self.name, self._told, self._refused)

    def _work(self) -> None:
        """The thread."""
        while (entries := self._orders.get()) is not None:
            for entry in entries:
                problem: Unreachable | Refused | None = None
                try:
                    self._receiver.send(entry)
                except (Unreachable, Refused) as error:
                    problem = error
                except Exception as error:  # a fault of ours or of a library must not end the thread
                    problem = Unreachable(f"{type(error).__name__}: {error}")
                self._outcomes.put(_Outcome(entry, problem))
                self._wake()
                if isinstance(problem, Unreachable) or not self._orders.empty():
                    break
            self._outcomes.put(None)
            self._wake()
        self._receiver.close()
