"""Frames of a camera, a stream or a recording, by OpenCV.

Of what is live only the newest frame is kept: a thread reads all that come, so that nothing old waits in a
buffer, and a source that is gone is opened again after a pause that doubles. A recording gives every frame.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from numpy.typing import NDArray

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import printable
from onlygood.runtime.watch.courier import Backoff

_LONGEST_PAUSE = 30.0  # seconds between tries to open what is gone
_PATIENCE_MS = 10_000  # of a stream that does not answer


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture as it came."""

    pixels: NDArray[np.uint8]  # (H, W, 3), red first
    number: int  # from 1, over all that came
    taken: float  # when it came, seconds since 1970
    since_start: float  # seconds: of a recording by its own clock


class Video(Protocol):
    """As much of OpenCV's VideoCapture as is used."""

    def read(self) -> tuple[bool, Any]:
        """The next frame, blue first, and whether there was one."""

    def release(self) -> None:
        """Let go of the source."""


class NoVideoError(Exception):
    """A source that cannot be opened; the message says why."""


class Source:
    """What is typed as a camera: a number or ``/dev/video0``, an address such as ``rtsp://…``, or a file."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.live = text.isdecimal() or "://" in text or _is_device(text)
        self.name = printable(without_password(text))

    def open(self) -> Video:
        """Open it.

        Raises:
            NoVideoError: it cannot be opened now.
            OnlygoodError: OpenCV is not installed.
        """
        cv2 = _opencv()
        if "://" in self.text:
            waits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
            video = cv2.VideoCapture(
                self.text, cv2.CAP_FFMPEG, [x for wait in waits for x in (wait, _PATIENCE_MS)]
            )
        elif self.live:
            video = cv2.VideoCapture(int(self.text) if self.text.isdecimal() else self.text)
            video.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        else:
            video = cv2.VideoCapture(self.text, cv2.CAP_FFMPEG)
        if not video.isOpened():
            video.release()
            raise NoVideoError("it cannot be opened")
        return video  # type: ignore[no-any-return]


def without_password(text: str) -> str:
    """An address without the user and the password in it, to be shown and written down."""
    if "://" not in text:
        return text
    parts = urlsplit(text)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def recorded(source: Source) -> Iterator[Frame]:
    """All frames of a recording, in their order.

    Raises:
        OnlygoodError: it cannot be opened, or holds no frame.
    """
    if not Path(source.text).is_file():
        raise OnlygoodError(f"{source.name}: no such recording, device or address (rtsp://…)")
    try:
        video = source.open()
    except NoVideoError:
        raise OnlygoodError(f"{source.name} is no recording that OpenCV can read") from None
    number, rate = 0, _rate(video)
    try:
        while (pixels := _next(video)) is not None:
            number += 1
            yield Frame(pixels, number, time.time(), (number - 1) / rate)
    finally:
        video.release()
    if not number:
        raise OnlygoodError(f"{source.name} holds no frame that OpenCV can read")


class Newest:
    """A thread that keeps the newest frame of a live source, and opens it again when it is gone.

    Args:
        open: opens the source.
        say: is told when it goes and comes back.
        longest_pause: seconds between tries to open it, at most.
    """

    def __init__(
        self,
        open: Callable[[], Video],
        say: Callable[[str], None],
        *,
        longest_pause: float = _LONGEST_PAUSE,
    ) -> None:
        self._open, self._say = open, say
        self._backoff = Backoff(longest_pause)
        self._news = threading.Condition()
        self._closed = threading.Event()
        self._frame: Frame | None = None
        self._fault: OnlygoodError | None = None
        self._began = time.time()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait(self, after: float, seconds: float) -> Frame | None:
        """The newest frame that came later than ``after`` (seconds since 1970); None if none comes in time.

        Raises:
            OnlygoodError: none will come.
        """
        with self._news:
            self._news.wait_for(lambda: self._fault or (self._frame and self._frame.taken > after), seconds)
            if self._fault is not None:
                raise self._fault
            return self._frame if self._frame is not None and self._frame.taken > after else None

    def close(self) -> None:
        """Let go of the source; a read that is under way may hold it for some seconds more."""
        self._closed.set()
        self._thread.join(1)

    def _run(self) -> None:
        number, lost = 0, False
        while not self._closed.is_set():
            try:
                video = self._open()
            except NoVideoError as error:
                if not lost:
                    self._say(f"no picture: {error}; trying again and again")
                lost = True
                self._pause()
                continue
            except OnlygoodError as error:
                with self._news:
                    self._fault = error
                    self._news.notify_all()
                return
            try:
                while not self._closed.is_set() and (pixels := _next(video)) is not None:
                    number += 1
                    if lost:
                        self._say("the picture is there again")
                    lost = False
                    self._backoff.succeeded()
                    now = time.time()
                    with self._news:
                        self._frame = Frame(pixels, number, now, now - self._began)
                        self._news.notify_all()
            finally:
                video.release()
            if not self._closed.is_set():
                if not lost:
                    self._say("the picture is gone; trying again and again")
                lost = True
                self._pause()

    def _pause(self) -> None:
        now = time.monotonic()
        self._backoff.failed(now)
        self._closed.wait(self._backoff.left(now))


def _next(video: Video) -> NDArray[np.uint8] | None:
    """The next frame, red first."""
    there, pixels = video.read()
    if not there or pixels is None or not pixels.size:
        return None
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        pixels = np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(pixels[..., 2::-1])


def _rate(video: Any) -> float:
    """Frames a second, as the recording says it; 25 where it says nothing that can be."""
    rate = float(video.get(_opencv().CAP_PROP_FPS))
    return rate if 0.01 < rate < 1000 else 25.0


def _is_device(text: str) -> bool:
    try:
        return Path(text).is_char_device()
    except (OSError, ValueError):
        return False


def _opencv() -> Any:
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")  # before the import; what fails is said in our words
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        import cv2  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise OnlygoodError(
            f"cameras need a package that is not here ({error}): pip install 'onlygood[camera]'"
        ) from None
    return cv2
