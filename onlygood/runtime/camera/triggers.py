"""Which frames are judged: each that is new, one in so many seconds, or the one after a line on stdin."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from onlygood.runtime.camera.capture import Frame, Newest


@dataclass(frozen=True)
class Shot:
    """What is to be judged: a frame, or None where none came in time; and the words of its trigger."""

    frame: Frame | None
    trigger: str | None = None


def newest(source: Newest, patience: float) -> Iterator[Shot]:
    """The newest frame, as soon as the one before is judged; for ever.

    ``patience``: seconds without a frame after which that is said by a shot without one.
    """
    after = 0.0
    while True:
        frame = source.wait(after, patience)
        yield Shot(frame)
        after = after if frame is None else frame.taken


def every(
    source: Newest,
    seconds: float,
    patience: float,
    *,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Shot]:
    """The first frame that comes after each multiple of ``seconds``; those that passed are left out."""
    due = clock()
    while True:
        sleep(max(0.0, due - clock()))
        yield Shot(source.wait(clock(), patience))
        due += seconds * max(1, -(-(clock() - due) // seconds))


def lines(
    source: Newest, said: Iterable[str], patience: float, *, clock: Callable[[], float] = time.time
) -> Iterator[Shot]:
    """The first frame that comes after each line, which is kept as its trigger: such as a part's number."""
    for line in said:
        yield Shot(source.wait(clock(), patience), line.strip())


def spaced(frames: Iterable[Frame], seconds: float) -> Iterator[Shot]:
    """Of a recording, the first frame of each so many seconds of its own clock; all where that is 0."""
    due = 0.0
    for frame in frames:
        if frame.since_start >= due - 1e-9:
            yield Shot(frame)
            while seconds and due <= frame.since_start + 1e-9:
                due += seconds
