"""`onlygood camera`: frames as they come, each judged; `runtime/camera` gets them."""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

from PIL import Image

from onlygood.deploy.destination import check_folder, check_output
from onlygood.deploy.judging import chosen_threshold, open_model
from onlygood.deploy.messages import speaker
from onlygood.deploy.options.camera import CameraOptions
from onlygood.runtime import jsontext
from onlygood.runtime.atomic import write_atomically
from onlygood.runtime.camera import triggers
from onlygood.runtime.camera.capture import Frame, Newest, Source, recorded
from onlygood.runtime.camera.triggers import Shot
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import mark_output
from onlygood.runtime.images.reader import LoadedImage
from onlygood.runtime.images.resize import resize
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.rows.ledger import WholeRows
from onlygood.runtime.rows.stream import judged
from onlygood.runtime.rows.verdicts import Counts, Row, Settings, Status, as_json, exit_code

_MOST_KEPT = 100_000  # rows that wait for a full disk


def run(options: CameraOptions) -> int:
    """Judge until the recording, the lines or the count end, or a signal comes; 2 for errors, as `score`."""
    source = Source(options.source)
    _check(options, source)
    say = speaker(quiet=options.quiet)
    detector, _ = open_model(options, say)
    threshold = chosen_threshold(detector, options.threshold, options.max_false_alarms)
    spec = detector.metadata.input
    settings = Settings(detector.file.sha256[:12], threshold, spec.bit_depth, options.any_frame)
    rows, counts = Rows(options.output, say), Counts()
    saved = None if options.save_flagged is None else Saved(options.save_flagged, say)
    try:
        with _shots(options, source, say) as shots:
            for shot in islice(shots, options.count):
                row = _row(shot, source, detector, threshold, options)
                counts.add(row.status)
                said = _about(shot) | as_json(row, settings) | {"path": source.name}
                if saved is not None and shot.frame and row.status in (Status.ANOMALOUS, Status.UNUSABLE):
                    said["saved"] = saved.write(shot.frame)
                rows.write(said)
    finally:
        if counts.images:
            say(str(counts))
        rows.close()
    return exit_code(counts, judge=False)


def _check(options: CameraOptions, source: Source) -> None:
    if options.on_line and options.every:
        raise OnlygoodError("give either --every or --on-line: each says which frames are judged")
    if options.on_line and not source.live:
        raise OnlygoodError("--on-line is for what is live: a recording does not wait for lines")
    if options.output is not None:
        check_output(options.output, inputs=[options.model, Path(options.source)])
    if options.save_flagged is not None:
        check_folder(options.save_flagged)


@contextmanager
def _shots(options: CameraOptions, source: Source, say: Callable[[str], None]) -> Iterator[Iterator[Shot]]:
    """What is judged, as the options say."""
    if not source.live:
        with closing(recorded(source)) as frames:  # type: ignore[type-var]
            yield triggers.spaced(frames, options.every)
        return
    with closing(Newest(source.open, lambda words: say(f"{source.name}: {words}"))) as newest:
        if options.on_line:
            yield triggers.lines(newest, sys.stdin, options.patience)
        elif options.every:
            yield triggers.every(newest, options.every, options.patience)
        else:
            yield triggers.newest(newest, options.patience)


def _row(shot: Shot, source: Source, detector: Detector, threshold: float, options: CameraOptions) -> Row:
    path = Path(source.name)
    if shot.frame is None:
        return Row(path, Status.ERROR, threshold, error=f"no frame came within {options.patience:g} s")
    start = perf_counter()
    height, width, _ = shot.frame.pixels.shape
    image = LoadedImage(resize(shot.frame.pixels, detector.metadata.input), width, height, ())
    row = judged(path, image, detector=detector, threshold=threshold, any_frame=options.any_frame)
    return replace(row, ms=1000 * (perf_counter() - start))


def _about(shot: Shot) -> dict[str, Any]:
    """When and which frame, and what asked for it."""
    frame = shot.frame
    when = datetime.now(UTC) if frame is None else datetime.fromtimestamp(frame.taken, UTC)
    said: dict[str, Any] = {"time": when.isoformat(timespec="milliseconds")}
    if frame is not None:
        said |= {"frame": frame.number, "seconds": round(frame.since_start, 3)}
    return said if shot.trigger is None else said | {"trigger": shot.trigger}


class Rows:
    """Where rows go: to stdout, or to the end of a file, where they wait while its disk is full."""

    def __init__(self, path: Path | None, say: Callable[[str], None]) -> None:
        self._path, self._say = path, say
        self._waiting: list[bytes] = []

    def write(self, said: dict[str, Any]) -> None:
        """Write a row.

        Raises:
            OnlygoodError: too many rows wait.
        """
        line = jsontext.dumps(said) + "\n"
        if self._path is None:
            sys.stdout.write(line)
            sys.stdout.flush()
            return
        self._waiting.append(line.encode("ascii"))
        try:
            with WholeRows(self._path, "a") as file:
                file.write(b"".join(self._waiting))
        except OSError as error:
            if len(self._waiting) == 1:
                self._say(f"rows cannot be written: {error.strerror or error}; they wait, nothing is lost")
            if len(self._waiting) > _MOST_KEPT:
                raise OnlygoodError(f"rows cannot be written: {error.strerror or error}") from None
        else:
            if len(self._waiting) > 1:
                self._say("rows are written again")
            self._waiting.clear()

    def close(self) -> None:
        """Print what could not be written: it is not lost."""
        sys.stdout.write(b"".join(self._waiting).decode())


class Saved:
    """A folder of frames that were flagged."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        mark_output(folder, "flagged frames")
        self._folder, self._say = folder, say

    def write(self, frame: Frame) -> str | None:
        """Write a frame; returns its path, or None where it cannot be written, which is said."""
        moment = datetime.fromtimestamp(frame.taken, UTC)
        name = f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03}Z-{frame.number}.png"
        data = io.BytesIO()
        Image.fromarray(frame.pixels).save(data, "PNG", compress_level=1)
        try:
            write_atomically(self._folder / name, data.getvalue(), sweep=False)
        except OnlygoodError as error:
            self._say(f"a flagged frame is not kept: {error}")
            return None
        return os.fspath(self._folder / name)
