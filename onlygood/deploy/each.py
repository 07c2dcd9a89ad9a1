"""Many detectors: one for each folder of a folder, by trainings in processes of their own.

What is asked of each product has a digest, in ``summary.csv`` beside the models: a later run makes only
what is not there yet, or was made of something else.
"""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from hashlib import blake2b, sha256
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any

import numpy as np

from onlygood.anomaly.data.names import meaning, plain
from onlygood.deploy.destination import check_folder
from onlygood.deploy.options.shared import Engine
from onlygood.deploy.options.training import FitOptions
from onlygood.deploy.signature import words_of
from onlygood.deploy.tables import stdout, table
from onlygood.deploy.trainings import Here, Trainings, on_ray
from onlygood.pretrain.overrides import parse_overrides
from onlygood.runtime.ahead import map_ahead
from onlygood.runtime.atomic import write_atomically
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import OUTPUT_MARKER, display, find_images, mark_output, printable
from onlygood.runtime.locks import lock
from onlygood.runtime.model.calibration import threshold
from onlygood.runtime.model.modelfile import load_model
from onlygood.runtime.rows.verdicts import csv_line, rounded
from onlygood.runtime.threads import available_cpus

SUMMARY = "summary.csv"
_LOCK = ".fit-each.lock"
_THREADS = "training.threads"
_NOT_ASKED: dict[str, Any] = {  # of each product, and so no part of the digest
    "output": None,
    "work": None,
    "resume": False,
    "quiet": False,
    "each": False,
    "jobs": None,
    "engine": Engine.LOCAL,
    "ray_address": None,
}


@dataclass(frozen=True)
class Outcome:
    """A row of the summary."""

    product: str
    status: str  # "fitted" or "failed"
    images: int  # in its folder
    asked: str  # digest of the options, and of the names, sizes and times of the images
    minutes: float | None = None
    held_out: int | None = None  # images, or parts, that calibrate
    threshold: float | None = None
    max_false_alarms: float | None = None
    megabytes: float | None = None
    sha256: str = ""
    error: str = ""


def fit_each(options: FitOptions, say: Callable[[str], None]) -> int:
    """Fit a detector for each folder in ``options.good_dir``; returns the exit code.

    Raises:
        OnlygoodError: the folder is no folder of folders, or the models cannot be written.
    """
    models = options.output or Path("models")
    if models.suffix == ".onnx":
        raise OnlygoodError(f"--each writes many models: -o {display(models)} must name a folder")
    products = _products(options.good_dir, say)
    check_folder(models)
    mark_output(models, "models")
    with _locked(models / _LOCK) as held, _trainings(options, held) as (trainings, at_once):
        threads = _threads(options, at_once)
        each = _Each(options, models, trainings, say, threads=threads, count=len(products))
        outcomes = map_ahead(each.outcome, products, workers=min(at_once, len(products)))
        try:
            done = list(outcomes)
        except BaseException:
            trainings.end()
            raise
        finally:
            outcomes.close()
    _print(done)
    failed = [outcome for outcome in done if outcome.status == "failed"]
    say(
        f"{len(done) - len(failed)} models in {display(models)}, {len(failed)} failed; next: onlygood check"
        f" {display(models)} NEW_IMAGES --route folder"
    )
    return 2 if failed else 0


def _products(folder: Path, say: Callable[[str], None]) -> list[Path]:
    """The folders of a folder.

    Raises:
        OnlygoodError: there are none, or they look like those of one product.
    """
    if not folder.is_dir():
        raise OnlygoodError(f"{display(folder)} is no folder, of whose folders --each makes models")
    found = sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".") and not (path / OUTPUT_MARKER).exists()
    )
    if not found:
        raise OnlygoodError(f"{display(folder)} has no folders: --each wants one for each product in it")
    own = [path.name for path in found if meaning(path.name) or plain(path.name) in ("train", "test")]
    if own:
        raise OnlygoodError(
            f"{display(folder)} looks like one product, for there is a folder {printable(own[0])!r} in it:"
            " leave --each out, or name the folder above"
        )
    if loose := sum(1 for _ in find_images([folder], recursive=False)):
        say(f"{loose} images beside the folders are left alone")
    return found


class _Each:
    """What is done with a product, in whichever thread."""

    def __init__(
        self,
        options: FitOptions,
        models: Path,
        trainings: Trainings,
        say: Callable[[str], None],
        *,
        threads: int | None,
        count: int,
    ) -> None:
        self._options, self._models, self._trainings = options, models, trainings
        self._count, self._say, self._done = count, say, 0
        self._threads = threads
        self._lock = Lock()
        self._summary = _read(models / SUMMARY)

    def outcome(self, product: Path) -> Outcome:
        """Fit a product, unless an earlier run has; what comes out is written down at once."""
        name = product.name
        model = self._models / f"{name}.onnx"
        listed = list(find_images([product]))
        asked = _asked(self._options, product, listed)
        with self._lock:
            earlier = self._summary.get(name)
        kept = (
            self._options.resume and earlier is not None and earlier.asked == asked and _whole(earlier, model)
        )
        if kept and earlier is not None:
            return self._written(earlier, "as an earlier run made it")
        log = model.with_suffix(".log")
        words = ["fit", *words_of(self._of(product, model))]
        begun = perf_counter()
        outcome = Outcome(name, "failed", len(listed), asked)
        try:
            code = self._trainings.run(words, log)
            outcome = replace(outcome, minutes=round((perf_counter() - begun) / 60, 2))
            outcome = _fitted(outcome, model) if code == 0 else replace(outcome, error=_last_words(log, code))
        except OnlygoodError as error:
            outcome = replace(outcome, error=str(error))
        if outcome.error:
            return self._written(outcome, f"failed: {outcome.error} ({display(log)} has all of it)")
        return self._written(
            outcome,
            f"threshold {outcome.threshold:.6g}, at most {outcome.max_false_alarms:.3g} false alarms are"
            f" promised; {outcome.minutes} min",
        )

    def _of(self, product: Path, model: Path) -> FitOptions:
        """What is typed for one product."""
        options = replace(self._options, **{**_NOT_ASKED, "resume": self._options.resume})
        work = self._options.work
        overrides = [*(options.overrides or [])]
        if self._threads is not None:
            overrides.append(f"{_THREADS}={self._threads}")
        return replace(
            options,
            good_dir=product,
            output=model,
            work=None if work is None else work / product.name,
            overrides=overrides,
        )

    def _written(self, outcome: Outcome, words: str) -> Outcome:
        with self._lock:
            self._summary[outcome.product] = outcome
            rows = [asdict(self._summary[name]) for name in sorted(self._summary)]
            names = [field.name for field in fields(Outcome)]
            lines = [csv_line(names), *(csv_line(rounded(row[name]) for name in names) for row in rows)]
            write_atomically(
                self._models / SUMMARY, "".join(lines).encode("utf-8", "surrogateescape"), sweep=False
            )
            self._done += 1
            self._say(f"[{self._done}/{self._count}] {printable(outcome.product)}: {printable(words)}")
        return outcome


def _threads(options: FitOptions, at_once: int) -> int | None:
    """Threads of each training; None where `fit` decides."""
    changes = parse_overrides(options.overrides or [])
    if (given := changes.get(_THREADS)) is not None:
        return int(given)
    if options.engine is Engine.RAY:
        return 1
    return None if at_once == 1 else max(1, available_cpus() // at_once)


@contextmanager
def _trainings(options: FitOptions, held: int) -> Iterator[tuple[Trainings, int]]:
    if options.engine is not Engine.RAY:
        yield Here(held), options.jobs or 1
        return
    given = [
        change.partition("=")[2] for change in options.overrides or () if change.startswith(f"{_THREADS}=")
    ]
    with on_ray(options.ray_address, options.jobs, int(given[-1]) if given else 1) as found:
        yield found


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """A lock on the folder of models, which trainings inherit: also those that outlive a run that was killed.

    Raises:
        OnlygoodError: another run holds it.
    """
    with path.open("a+b") as file:
        lock(file, display(path.parent))
        yield file.fileno()


def _asked(options: FitOptions, product: Path, listed: list[Path]) -> str:
    """A digest of all that decides about a model: options, the files that they name, and the images."""
    words = words_of(replace(options, good_dir=Path(), **_NOT_ASKED))
    named = (value for value in asdict(options).values() if isinstance(value, str | Path))
    files = [_stamp(path) for path in map(Path, named) if path.is_file()]
    images = [(path.relative_to(product).as_posix(), *_stamp(path)) for path in listed if path != product]
    return blake2b(json.dumps([words, files, images], allow_nan=False).encode(), digest_size=16).hexdigest()


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:  # gone, or a link to nothing
        return (-1, -1)
    return stat.st_size, stat.st_mtime_ns


def _whole(earlier: Outcome, model: Path) -> bool:
    """Whether the model that a row tells of is there, to the last byte."""
    try:
        return sha256(model.read_bytes()).hexdigest() == earlier.sha256
    except OSError:
        return False


def _fitted(outcome: Outcome, model: Path) -> Outcome:
    """The row of a model that was made.

    Raises:
        OnlygoodError: it is not here.
    """
    if not model.is_file():
        raise OnlygoodError(f"{display(model)} is not here: name a folder that all machines share with -o")
    file = load_model(model)
    held_out = file.metadata.calibration
    rate = held_out.max_false_alarms
    return replace(
        outcome,
        status="fitted",
        held_out=held_out.parts(),
        threshold=rounded(threshold(np.asarray(held_out.scores), rate, held_out.weights())),
        max_false_alarms=rounded(rate),
        megabytes=round(len(file.data) / 1e6, 1),
        sha256=file.sha256,
    )


def _last_words(log: Path, code: int) -> str:
    """Why a training failed: what it said last for people, or else its exit code."""
    try:
        lines = log.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    said = [line.removeprefix("onlygood: ") for line in lines if line.startswith("onlygood: ")]
    return said[-1] if said else f"it ended with {code}"


def _read(path: Path) -> dict[str, Outcome]:
    """The rows of an earlier run by product.

    Raises:
        OnlygoodError: the file holds something else.
    """
    try:
        text = path.read_text("utf-8", "surrogateescape")
    except FileNotFoundError:
        return {}
    try:
        rows = [
            Outcome(**{key: _value(key, value) for key, value in row.items()})
            for row in csv.DictReader(text.splitlines(keepends=True))
        ]
    except (TypeError, ValueError):
        raise OnlygoodError(
            f"{display(path)} is not what `onlygood fit --each` writes: give another -o"
        ) from None
    return {row.product: row for row in rows}


def _value(name: str, text: str) -> Any:
    if name in ("images", "held_out"):
        return int(text) if text else None
    if name in ("minutes", "threshold", "max_false_alarms", "megabytes"):
        return float(text) if text else None
    return text


def _print(outcomes: list[Outcome]) -> None:
    """The summary for people."""
    shown = table(["product", "status"], ["images", "held out", "threshold", "promised", "min", "MB"])
    for outcome in outcomes:
        numbers = (
            outcome.images,
            outcome.held_out,
            outcome.threshold,
            outcome.max_false_alarms,
            outcome.minutes,
            outcome.megabytes,
        )
        cells = ("" if value is None else f"{value:.6g}" for value in numbers)
        shown.add_row(printable(outcome.product), outcome.status, *cells)
    stdout().print(shown)
