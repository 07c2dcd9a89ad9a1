"""Who may come in: a bounded number of requests at a time, and threads that do their work."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

Out = TypeVar("Out")


class Ticket:
    """The place of one request; it is given back once the work is done or was never begun."""

    def __init__(self, desk: "Desk") -> None:
        self._desk = desk
        self._jobs: list[Future[object]] = []

    def hand_in(self, jobs: Sequence[Callable[[], Out]]) -> "list[Future[Out]]":
        """Let the threads do these jobs."""
        futures = [self._desk.pool.submit(job) for job in jobs]
        self._jobs += futures  # type: ignore[arg-type]
        return futures

    def give_back(self) -> None:
        """Take back what was not begun; the place is free when what was begun is done."""
        running = [job for job in self._jobs if not job.cancel() and not job.done()]
        if not running:
            self._desk.leave()
            return
        left, lock = [len(running)], Lock()

        def done(_: Future[object]) -> None:
            with lock:
                left[0] -= 1
                last = not left[0]
            if last:
                self._desk.leave()

        for job in running:
            job.add_done_callback(done)


class Desk:
    """Lets ``workers + queue`` requests in, and no more: memory and waiting stay bounded."""

    def __init__(self, workers: int, queue: int) -> None:
        self.pool = ThreadPoolExecutor(workers, thread_name_prefix="score")
        self.room = workers + queue
        self.taken = 0
        self._lock = Lock()

    def enter(self) -> Ticket | None:
        """A place, or None if all are taken."""
        with self._lock:
            if self.taken >= self.room:
                return None
            self.taken += 1
        return Ticket(self)

    def leave(self) -> None:
        """One place is free again."""
        with self._lock:
            self.taken -= 1

    def close(self) -> None:
        """Finish what was begun, and end the threads."""
        self.pool.shutdown()
