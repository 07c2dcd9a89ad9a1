"""How much memory decoding may take at once, in all threads together."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition
from typing import Self

DEFAULT_MAX_MEMORY = 2_000  # MB


class Budget:
    """Bytes that several threads share: a thread that would exceed them waits until others are done.

    An image that needs more than the whole budget waits until no other is decoded, and then goes on alone.
    So no image is refused for its size, and none waits forever.
    """

    def __init__(self, size: int = DEFAULT_MAX_MEMORY * 10**6) -> None:
        self.size = size
        self.taken = 0
        self._changed = Condition()

    @classmethod
    def of(cls, megabytes: int | None) -> Self:
        """A budget of ``megabytes`` MB, or of the default."""
        return cls((megabytes or DEFAULT_MAX_MEMORY) * 10**6)

    @contextmanager
    def take(self, cost: int) -> Iterator[None]:
        """Wait for ``cost`` bytes, and give them back at the end."""
        with self._changed:
            self._changed.wait_for(lambda: not self.taken or self.taken + cost <= self.size)
            self.taken += cost
        try:
            yield
        finally:
            with self._changed:
                self.taken -= cost
                self._changed.notify_all()
