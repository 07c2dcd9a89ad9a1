"""One way to run a model, tried in a process of its own.

So each way starts as fresh as `score` would, its memory is its own, and a provider that crashes takes nothing
with it. The images are judged by the very functions that `score` calls.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlygood.runtime import jsontext
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.memory import Budget
from onlygood.runtime.images.reader import ReadOptions, read_bytes, upright
from onlygood.runtime.images.resize import resize
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.selftest import generated_image, replay
from onlygood.runtime.rows.stream import row_of, score_images

STAGES = ("read", "decode", "resize", "inference", "total")
_STATUS = Path("/proc/self/status")
_FEWEST = 20  # images whose stages are timed, so that a 95th percentile says something
_PATIENCE = 600.0  # seconds beyond those asked for; some providers compile a model for minutes


@dataclass(frozen=True)
class Task:
    """What a process is to try."""

    workers: int
    threads: int
    provider: str
    seconds: float
    max_pixels: int
    max_memory: int | None  # MB
    stages: bool = False  # time what an image goes through, one image at a time, in place of many
    batches: tuple[int, ...] = ()  # time inference alone of so many images, in place of either
    sha256: str | None = None  # of the model file that was checked: no other is run


@dataclass
class Found:
    """What it found."""

    images: int = 0
    seconds: float = 0.0
    milliseconds: dict[str, list[float]] = field(default_factory=dict)  # of each image, by its stage
    batches: dict[str, float] = field(default_factory=dict)  # milliseconds for an image, by the batch's size
    start_ms: float = 0.0
    peak_mb: float | None = None
    failed: str = ""


def attempt(task: Task, model: Path, images: Sequence[Path]) -> Found:
    """Try ``task`` in a new process; whatever becomes of it, there is an answer."""
    command = [sys.executable, "-P", "-m", __name__, jsontext.dumps(asdict(task)), str(model)]
    places = os.pathsep.join(place for place in sys.path if place)
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module; names are arguments
            [*command, *map(str, images)],
            env=os.environ | {"PYTHONPATH": places},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=task.seconds + _PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Found(failed=f"no answer within {_PATIENCE:.0f} s")
    if done.returncode < 0:
        return Found(failed=f"the process was ended by signal {-done.returncode}; out of memory?")
    try:
        return Found(**json.loads(done.stdout.splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return Found(failed=f"exit code {done.returncode}: {' '.join(last)}")


def main(arguments: Sequence[str]) -> None:
    """Do what the command line says, and print what was found as JSON."""
    values, model, *images = arguments
    task = Task(**json.loads(values))
    try:
        found = try_out(task, Path(model), [Path(image) for image in images])
    except OnlygoodError as error:
        found = Found(failed=str(error))
    print(jsontext.dumps(asdict(found)))  # noqa: T201


def try_out(task: Task, model: Path, images: Sequence[Path]) -> Found:
    """Run the model as the task says, for its seconds and at least twice over for each worker.

    Raises:
        OnlygoodError: an image cannot be judged, the provider is not there, or it computes other scores.
    """
    start = perf_counter()
    detector = Detector.load(model, threads=task.threads, sha256=task.sha256, provider=task.provider)
    options = ReadOptions(task.max_pixels, Budget.of(task.max_memory))
    judge(detector, images[0], options)
    found = Found(start_ms=1000 * (perf_counter() - start))
    _self_test(detector)
    if task.batches:
        found.batches = {str(size): _batch(detector, size, task.seconds) for size in task.batches}
    elif task.stages:
        _time_stages(detector, images, options, task.seconds, found)
    else:
        _time_many(detector, images, options, task, found)
    found.peak_mb = peak_mb()
    return found


def judge(detector: Detector, image: Path, options: ReadOptions) -> float:
    """Milliseconds from file to verdict.

    Raises:
        OnlygoodError: there is none.
    """
    row = row_of(
        image, detector=detector, threshold=0.0, spec=detector.metadata.input, options=options, any_frame=True
    )
    if row.score is None:
        raise OnlygoodError(f"{image}: {row.error}")
    return row.ms or 0.0


def _self_test(detector: Detector) -> None:
    """Refuse a provider whose scores are not those of the file's self-test: its speed is of no use."""
    test, spec = detector.metadata.self_test, detector.metadata.input
    images = (generated_image(spec, index) for index in range(len(test.scores)))
    scores = np.concatenate([detector.infer(image[None])[0] for image in images])
    replay(scores, test.scores, test.tolerance)


def _time_many(
    detector: Detector, images: Sequence[Path], options: ReadOptions, task: Task, found: Found
) -> None:
    """Judge ``workers`` images at once, as `score` does; the first ones, while queues fill, do not count."""
    rows = score_images(
        detector,
        cycle(images),
        0.0,
        spec=detector.metadata.input,
        options=options,
        workers=task.workers,
        any_frame=True,
    )
    times = found.milliseconds["total"] = []
    with closing(rows):
        for _ in range(2 * task.workers + 1):
            next(rows)
        start = perf_counter()
        for row in rows:
            if row.score is None:
                raise OnlygoodError(f"{row.path}: {row.error}")
            times.append(row.ms or 0.0)
            found.images += 1
            found.seconds = perf_counter() - start
            if found.seconds >= task.seconds and found.images >= 2 * task.workers:
                return


def _time_stages(
    detector: Detector, images: Sequence[Path], options: ReadOptions, seconds: float, found: Found
) -> None:
    """Time each step of one image at a time, and then the same image as a whole."""
    found.milliseconds = {name: [] for name in STAGES}
    spec = detector.metadata.input
    for image in _for_so_long(cycle(images), seconds, at_least=_FEWEST):
        clock = _Clock()
        data = read_bytes(image, options)
        found.milliseconds["read"].append(clock.lap())
        with upright(data, spec, options) as decoded:
            found.milliseconds["decode"].append(clock.lap())
            pixels = resize(decoded.image, spec)
            found.milliseconds["resize"].append(clock.lap())
        clock.lap()
        detector.infer(pixels[None])
        found.milliseconds["inference"].append(clock.lap())
        found.milliseconds["total"].append(judge(detector, image, options))
        found.images += 1


def _batch(detector: Detector, size: int, seconds: float) -> float:
    """Median milliseconds of inference for each image of a batch of ``size``."""
    spec = detector.metadata.input
    batch: NDArray[np.uint8] = np.stack([generated_image(spec, index % 4) for index in range(size)])
    detector.infer(batch)
    times = []
    for _ in _for_so_long(cycle([None]), seconds, at_least=3):
        clock = _Clock()
        detector.infer(batch)
        times.append(clock.lap())
    return float(np.median(times)) / size


def _for_so_long(items: Iterator[Any], seconds: float, *, at_least: int) -> Iterator[Any]:
    """Items until the time is over, but so many at least."""
    start = perf_counter()
    for number, item in enumerate(items):
        if number >= at_least and perf_counter() - start >= seconds:
            return
        yield item


class _Clock:
    """Milliseconds since the last lap."""

    def __init__(self, now: Callable[[], float] = perf_counter) -> None:
        self._now = now
        self._last = now()

    def lap(self) -> float:
        before, self._last = self._last, self._now()
        return 1000 * (self._last - before)


def peak_mb(status: Path = _STATUS) -> float | None:
    """The most memory that this process held at once, in MB; None where the system does not tell."""
    try:
        words = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:")).split()
    except (OSError, StopIteration):
        return None
    return int(words[1]) * 1024 / 1e6


if __name__ == "__main__":
    main(sys.argv[1:])
