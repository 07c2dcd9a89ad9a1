"""The frames of a video, from its file or from a folder of images in natural order, at one working size.

OpenCV decodes video files; images go through the one reader of images.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from onlygood.pretrain.data.store import Depth, survey_images
from onlygood.runtime.errors import ImageError, OnlygoodError
from onlygood.runtime.images.files import IMAGE_SUFFIXES, display, find_images
from onlygood.runtime.images.formats import READ_SUFFIXES
from onlygood.runtime.images.reader import load_image, read_header
from onlygood.runtime.images.resize import resize
from onlygood.runtime.images.spec import InputSpec

Frame = NDArray[np.uint8]  # ``(H, W, 3)``, RGB

_GIVE_UP = 10  # frames in a row that cannot be decoded are the end of a video


def opencv() -> ModuleType:
    """OpenCV, which writes nothing to stderr by itself.

    Raises:
        OnlygoodError: OpenCV is not installed.
    """
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        import cv2  # noqa: PLC0415
    except ImportError as error:
        raise OnlygoodError(
            "videos need OpenCV, which is not installed: pip install opencv-python-headless"
        ) from error
    return cv2


def natural_key(path: Path) -> tuple[tuple[int, int | str], ...]:
    """A key that sorts frame2 before frame10: runs of digits compare as numbers.

    Numbers that are equal, such as "1" and "01", sort by their text.
    """
    runs = re.split("([0-9]+)", path.name)
    return (*((int(run), run) if i % 2 else (-1, run) for i, run in enumerate(runs)),)


class Frames:
    """RGB frames, all of one size, whose shorter side is at most ``side`` px; iterating starts anew.

    A frame that cannot be read, or has another size than the first, is skipped and named in ``bad``.
    """

    def __init__(self, source: Path, side: int) -> None:
        """Find the frames of ``source``; they are read later.

        Raises:
            OnlygoodError: ``source`` is neither a folder with images nor a video file.
        """
        self.source, self.side = source, side
        self.expected: int | None = None  # frames, as far as the source tells
        self.read = 0
        self.bad: list[tuple[str, str]] = []  # (name, reason)
        self._size: tuple[int, int] | None = None  # (width, height) of the frames as stored
        self._paths: list[Path] | None = None
        self._bit_depth: Depth = 16
        name = display(source)
        try:
            is_folder, is_file = source.is_dir(), source.is_file()
        except ValueError:  # a NUL in the name
            is_folder = is_file = False
        if is_folder:
            self._paths = sorted(find_images([source], recursive=False), key=natural_key)
            self.expected = len(self._paths)
            if not self._paths:
                raise OnlygoodError(
                    f"{name}: no images in this folder; give a video file, or a folder that holds a video's "
                    f"frames as files that end with {' '.join(sorted(READ_SUFFIXES))}"
                )
        elif not is_file:
            raise OnlygoodError(f"{name}: no such file or folder")
        elif source.suffix.lower() in IMAGE_SUFFIXES:
            raise OnlygoodError(f"{name}: one image is no video; give a video file or the folder of frames")

    def __iter__(self) -> Iterator[Frame]:
        self.read, self.bad, self._size = 0, [], None
        stored = self._from_video() if self._paths is None else self._from_folder(self._paths)
        for name, frame in stored:
            if isinstance(frame, ImageError):
                self.bad.append((name, str(frame)))
            else:
                self.read += 1
                yield frame

    def _from_folder(self, paths: list[Path]) -> Iterator[tuple[str, Frame | ImageError]]:
        with contextlib.suppress(OnlygoodError):  # none is readable, as their reasons will say
            self._bit_depth = survey_images(paths, progress=False).bit_depth
        for path in paths:
            try:
                header = read_header(path)
                image = load_image(path, self._spec(header.width, header.height))
                if (image.width, image.height) != (header.width, header.height):  # a PNG turned by its EXIF
                    image = load_image(path, self._spec(image.width, image.height))
                self._check(image.width, image.height)
            except ImageError as error:
                yield display(path), error
            else:
                yield display(path), image.pixels

    def _from_video(self) -> Iterator[tuple[str, Frame | ImageError]]:
        cv2, name = opencv(), display(self.source)
        try:
            text = str(self.source.absolute())  # so that OpenCV takes no name for a protocol or an option
            text.encode()
        except UnicodeEncodeError as error:  # with which OpenCV 5 crashes
            raise OnlygoodError(f"{name}: OpenCV opens no file whose path is not UTF-8; rename it") from error
        video = cv2.VideoCapture(text, cv2.CAP_FFMPEG)
        try:
            if not video.isOpened():
                raise OnlygoodError(
                    f"{name}: not a video that OpenCV can decode; convert it, for example to MP4 with H.264, "
                    "or give a folder of its frames"
                )
            announced = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
            self.expected = announced if announced > 0 else None
            failed: list[str] = []
            number = 0
            while len(failed) < _GIVE_UP:
                number += 1
                pixels = video.retrieve()[1] if video.grab() else None
                if pixels is None:
                    failed.append(f"{name}, frame {number}")
                    continue
                yield from ((frame, ImageError("cannot be decoded")) for frame in failed)
                failed = []
                yield f"{name}, frame {number}", self._scaled(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
        finally:
            video.release()

    def _scaled(self, frame: Frame) -> Frame | ImageError:
        height, width = frame.shape[:2]
        try:
            self._check(width, height)
            return resize(frame, self._spec(width, height))
        except ImageError as error:
            return error

    def _check(self, width: int, height: int) -> None:
        self._size = self._size or (width, height)
        if self._size != (width, height):
            first = "{} x {}".format(*self._size)
            raise ImageError(f"{width} x {height} pixels, where the first frame has {first}")

    def _spec(self, width: int, height: int) -> InputSpec:
        """The size at which a frame is read; it is never enlarged."""
        scale = min(1.0, self.side / min(width, height))
        across, down = round(width * scale), round(height * scale)
        if min(across, down) < 16 or max(across, down) > 8192:
            raise ImageError(f"frames of {width} x {height} pixels are too small or too long")
        return InputSpec(height=down, width=across, channels=3, bit_depth=self._bit_depth)
