"""Work done ahead by threads, results in order, memory bounded."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


def map_ahead(
    function: Callable[[In], Out], items: Iterable[In], *, workers: int, ahead: int | None = None
) -> Generator[Out, None, None]:
    """Yield ``function(item)`` for each item, in order; ``items`` is read only a few items ahead.

    Threads help only if the function releases the interpreter's lock, as decoding does. Closing the
    generator, or an interrupt, waits only for the calls that are running.

    Args:
        function: is called in threads; its exception is raised when its result would be yielded.
        items: may be endless.
        workers: number of threads.
        ahead: how many calls may be done or running before their results are taken; by default twice
            ``workers``.
    """
    most = 2 * workers if ahead is None else ahead
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ahead")
    waiting: deque[Future[Out]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
