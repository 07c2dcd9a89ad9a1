"""Many images on many machines, by Ray: workers that hold one session each; the runtime does their work.

`score_dataset` is a step of a pipeline of Ray Data. `score_on_ray` is the engine of the command line, which
does not run on Ray Data: that wants to know all images before the first is read, and where an image kills its
worker ends, or loses the whole batch. Here images are listed while others are scored, rows come in the order
of the images, and an image that kills its worker is a row of its own.
"""

import os
import platform
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from onlygood import __version__
from onlygood.deploy.heatmaps import Boxes
from onlygood.deploy.judging import input_spec
from onlygood.runtime.ahead import map_ahead
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import OUTPUT_MARKER, display
from onlygood.runtime.images.memory import Budget
from onlygood.runtime.images.reader import DEFAULT_MAX_PIXELS, ReadOptions
from onlygood.runtime.images.remote import Place, Remote, url_of
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.modelfile import ModelFile
from onlygood.runtime.rows import columns
from onlygood.runtime.rows.stream import Also, score_images
from onlygood.runtime.rows.verdicts import Row, Settings, Stamp, Status

_IMAGES = 32  # of a batch: some tenths of a second, beside a millisecond of Ray
_BYTES = 1 << 24  # of a batch, where what images hold comes along
_FETCHING = 4  # images at once of a worker, where each is fetched from afar
_PATIENCE = 20  # seconds without any worker until it is said what is waited for


@dataclass(frozen=True)
class Work:
    """What a worker needs to know; the bytes of the model that were checked here are those that run there."""

    file: ModelFile
    threshold: float
    spec: InputSpec
    max_pixels: int
    max_memory: int | None  # MB, of each worker
    threads: int = 1
    provider: str = "cpu"
    any_frame: bool = False
    also: Sequence[Also] = ()
    preview: int = 0
    folder: str = ""  # that relative paths begin in
    writes: Path | None = None  # the folder that `also` writes into


class Scorer:
    """One session, and what is done with it."""

    def __init__(self, work: Work) -> None:
        if work.folder:
            with suppress(OSError):  # another machine may not have it, and images in stores need none
                os.chdir(work.folder)
        if work.writes is not None and not (work.writes / OUTPUT_MARKER).is_file():
            raise OnlygoodError(
                f"the folder {display(work.writes)} is not here, and what is written into it would be lost:"
                " name one that all machines share"
            )
        self._work = work
        self._detector = Detector(work.file, threads=work.threads, provider=work.provider)
        self._reader = ReadOptions(work.max_pixels, Budget.of(work.max_memory))

    def rows(self, places: list[Place]) -> list[Row]:
        """A row for each image, as `score_images` gives it, but without the path, which who asks knows."""
        work = self._work
        far = any(isinstance(place, Remote) and place.content is None for place in places)
        rows = score_images(
            self._detector,
            places,
            work.threshold,
            spec=work.spec,
            options=self._reader,
            workers=_FETCHING if far else 1,
            any_frame=work.any_frame,
            also=work.also,
            preview=work.preview,
        )
        return [replace(row, path=Path()) for row in rows]


class Worker:
    """A process of Ray with a `Scorer`, made when it is first asked: also anew, where the process died."""

    _scorer: Scorer | None = None

    def begin(self, ask: Callable[[], Work]) -> str:
        """Load the model; returns the version of the worker's onlygood."""
        with _named():
            self._scorer = self._scorer or Scorer(ask())
        return __version__

    def rows(self, ask: Callable[[], Work], places: list[Place]) -> list[Row]:
        """The rows of these images."""
        with _named():
            self._scorer = self._scorer or Scorer(ask())
            return self._scorer.rows(places)


@contextmanager
def _named() -> Iterator[None]:
    """Let errors for people say which worker they are of."""
    try:
        yield
    except OnlygoodError as error:
        raise OnlygoodError(f"worker {os.getpid()} on {platform.node()}: {error}") from error


def score_dataset(
    dataset: Any,
    model: Path | str,
    *,
    max_false_alarms: float | None = None,
    workers: int | None = None,
    threads: int = 1,
    provider: str = "cpu",
    bit_depth: int | None = None,
    any_frame: bool = False,
    boxes: bool = False,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    max_memory: int | None = None,
) -> Any:
    """A `ray.data.Dataset` with the columns of ``score -f jsonl`` for each image of ``dataset``.

    Examples:
        >>> images = ray.data.read_binary_files("s3://plant/line1", include_paths=True)
        >>> score_dataset(images, "model.onnx").write_parquet("s3://plant/verdicts")

    Images are in the column ``bytes``, as files hold them, or else lie where the column ``path`` says; of
    pixels that were decoded elsewhere the promise of the calibration would not hold. The other columns stay.
    An image that cannot be read is a row with the reason. What is not given is as in ``score``.

    Args:
        dataset: rows with ``bytes``, ``path`` or both.
        model: the model file; workers get its bytes.
        max_false_alarms: the rate that sets the threshold; None is the model's own.
        workers: how many processes score; None is as many as fit.
        threads: CPUs of a worker.
        provider: of onnxruntime.
        bit_depth: of 16-bit images that do not say their own.
        any_frame: judge also frames that would be unusable.
        boxes: say in ``extras``, a JSON text, where anomalous regions are.
        max_pixels: larger images are refused.
        max_memory: MB for decoding, of each worker.

    Raises:
        OnlygoodError: the model is refused, or when it runs: a row has neither ``bytes`` nor ``path``.
    """
    import ray  # noqa: PLC0415 - an extra

    detector = Detector.load(model, threads=threads, provider=provider)
    spec = input_spec(detector, bit_depth)
    threshold = detector.threshold(max_false_alarms)
    limit = detector.heat_threshold(max_false_alarms)
    work = Work(
        detector.file,
        threshold,
        spec,
        max_pixels,
        max_memory,
        threads,
        provider,
        any_frame,
        also=(Boxes(limit, detector.inside),) if boxes else (),
        folder=str(Path.cwd()),
    )
    pool = {"size": workers} if workers else {"min_size": 1, "max_size": None}
    return dataset.map_batches(
        Columns,
        fn_constructor_args=(work,),
        batch_format="pyarrow",
        batch_size=_IMAGES,
        num_cpus=threads,
        compute=ray.data.ActorPoolStrategy(**pool),
    )


class Columns:
    """A step of `score_dataset`: a table of images to a table of verdicts."""

    def __init__(self, work: Work) -> None:
        self._scorer = Scorer(work)
        self._settings = Settings(work.file.sha256[:12], work.threshold, work.spec.bit_depth, work.any_frame)

    def __call__(self, images: Any) -> Any:
        """The columns of ``images`` but ``bytes``, and those of verdicts."""
        given = set(images.column_names)
        if not given & {"bytes", "path"}:
            raise OnlygoodError(
                f"no column 'bytes' or 'path' says what the images are; there are {', '.join(sorted(given))}:"
                " read them with ray.data.read_binary_files(…, include_paths=True)"
            )
        verdicts = columns.schema().names
        if both := sorted(given.intersection(verdicts) - {"path"}):
            raise OnlygoodError(f"the columns {', '.join(both)} are those of verdicts: rename them")
        nothing = [None] * images.num_rows
        paths = images["path"].to_pylist() if "path" in given else nothing
        contents = images["bytes"].to_pylist() if "bytes" in given else nothing
        places = [_place(path or "", content) for path, content in zip(paths, contents, strict=True)]
        rows = [
            replace(row, path=place) for row, place in zip(self._scorer.rows(places), places, strict=True)
        ]
        table = columns.table_of(rows, self._settings)
        for name in images.column_names:
            if name not in ("bytes", "path"):
                table = table.append_column(name, images[name])
        return table


def _place(path: str, content: bytes | None) -> Place:
    if content is not None:
        return Remote(path, len(content), None, content)
    url = url_of(path)
    return Path(path) if url is None else Remote(url)


def score_on_ray(
    ray: Any, work: Work, places: Iterable[Place], *, workers: int | None, say: Callable[[str], None]
) -> Generator[Row, None, None]:
    """Yield one row for each image, in the order of ``places``, which is read only some batches ahead.

    Args:
        ray: of `connected`.
        work: what is done with each image.
        places: may be endless.
        workers: how many processes score; None is one for each ``work.threads`` CPUs of the cluster.
        say: tells what is waited for.

    Raises:
        OnlygoodError: no worker can begin, or one finds a fault that is not an image's; it is named.
    """
    count = workers or max(1, int(ray.cluster_resources().get("CPU", 1)) // work.threads)
    crew = _Crew(ray, work, count, say)
    batches = map_ahead(crew.rows, _batches(places), workers=2 * count, ahead=4 * count)
    with closing(batches):
        for rows in batches:
            yield from rows


class _Crew:
    """Workers, each of which has one batch at work and one waiting."""

    def __init__(self, ray: Any, work: Work, count: int, say: Callable[[str], None]) -> None:
        self._ray, self._threshold = ray, work.threshold
        self._lost = (
            ray.exceptions.RayActorError,
            ray.exceptions.OutOfMemoryError,
            ray.exceptions.WorkerCrashedError,
        )
        self._worker = ray.remote(Worker)
        self._ask = partial(ray.get, ray.put(work))  # each worker fetches it once
        hired = [self._hire(num_cpus=work.threads, max_restarts=-1, max_task_retries=1) for _ in range(count)]
        self._idle: SimpleQueue[Any] = SimpleQueue()
        begun = {worker.begin.remote(self._ask): worker for worker in hired}
        while not ray.wait(list(begun), timeout=_PATIENCE)[0]:
            free = ray.available_resources().get("CPU", 0)
            say(f"waiting for a worker: each wants {work.threads} CPUs, and Ray has {free:g} to give")
        for answer, worker in begun.items():  # those that come later join when they come
            answer.future().add_done_callback(lambda future, worker=worker: self._begin(worker, future))

    def rows(self, places: list[Place]) -> list[Row]:
        """The rows of a batch, by whoever is idle first."""
        worker = self._idle.get()
        try:
            if isinstance(worker, BaseException):
                raise worker
            rows = self._asked(worker, places)
        except self._lost:
            rows = self._one_by_one(places)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, OnlygoodError):
                raise error.cause from None
            raise  # a fault, with the lines of the worker
        finally:
            self._idle.put(worker)
        return [replace(row, path=place) for row, place in zip(rows, places, strict=True)]

    def _begin(self, worker: Any, version: Any) -> None:
        """Give work to a worker that is there, two batches at once; or end it all."""
        try:
            theirs = version.result()
            if theirs != __version__:
                raise OnlygoodError(f"a worker has onlygood {theirs}, and this is {__version__}: install one")
        except Exception as error:
            self._idle.put(error)
            return
        self._idle.put(worker)
        self._idle.put(worker)

    def _one_by_one(self, places: list[Place]) -> list[Row]:
        """The rows of a batch with which a worker died twice: each image by a worker with nothing else."""
        rows: list[Row] = []
        worker = None
        for place in places:
            worker = worker or self._hire(num_cpus=0, max_restarts=0)
            try:
                rows += self._asked(worker, [place])
            except self._lost:
                worker = None
                why = "the worker that read it died: out of memory, or a fault in a decoder"
                rows.append(Row(place, Status.ERROR, self._threshold, error=why, stamp=Stamp.of(place)))
        return rows

    def _hire(self, **how: Any) -> Any:
        return self._worker.options(**how).remote()

    def _asked(self, worker: Any, places: list[Place]) -> list[Row]:
        rows: list[Row] = self._ray.get(worker.rows.remote(self._ask, places))
        return rows


def _batches(places: Iterable[Place]) -> Iterator[list[Place]]:
    """The images in batches, of a size that stays small also where their content comes along."""
    batch: list[Place] = []
    size = 0
    for place in places:
        batch.append(place)
        size += len(place.content or b"") if isinstance(place, Remote) else 0
        if len(batch) == _IMAGES or size >= _BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
