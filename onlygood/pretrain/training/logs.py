"""The training log: ``log.csv`` for people and programs, TensorBoard beside it, a progress bar on stderr."""

import csv
import io
from pathlib import Path
from types import TracebackType
from typing import Self

from torch.utils.tensorboard import SummaryWriter

from onlygood.pretrain.progress import Bar
from onlygood.runtime.atomic import write_atomically

FILE_NAME = "log.csv"


class TrainLog:
    """Rows of numbers, one each ``log_every`` steps; a context manager.

    Only the first of several processes is to ``write``; ``show`` asks for the progress bar. Training starts
    at ``step`` after ``seconds``. Later rows, which a run leaves that is killed after its last checkpoint,
    are dropped.
    """

    def __init__(
        self, folder: Path, batch_size: int, step: int, seconds: float, *, show: bool, write: bool
    ) -> None:
        self._batch_size = batch_size
        self._before = (step, seconds, 0.0)  # step, seconds and seconds waited at the last row
        self.path = folder / FILE_NAME
        self.rows: list[dict[str, float]] = []
        self._columns: list[str] = []
        self._board: SummaryWriter | None = None
        if write:
            self.rows = [row for row in read_rows(self.path) if row["step"] <= step]
            self._rewrite()
            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
        self._bar = Bar("training", 1.0, shown=show and write, counted=False)

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)
        if self._board is not None:
            self._board.close()

    def advance(self, progress: float) -> None:
        """Move the bar to ``progress`` in [0, 1]."""
        self._bar.move(progress)

    def write(self, step: int, seconds: float, waited: float, numbers: dict[str, float]) -> None:
        """Append ``numbers``, with ``loss``; ``waited`` counts the seconds without data since the start."""
        steps, took, idle = (now - b for now, b in zip((step, seconds, waited), self._before, strict=True))
        self._before = (step, seconds, waited)
        row = {
            "step": step,
            "seconds": seconds,
            "images_per_second": steps * self._batch_size / max(took, 1e-9),
            "data_wait": idle / max(took, 1e-9),
            **numbers,
        }
        self.rows.append(row)
        self._bar.say(status(row))
        if self._board is None:
            return
        if set(row) <= set(self._columns):
            with self.path.open("a", newline="") as file:
                csv.DictWriter(file, self._columns).writerow(row)
        else:
            self._rewrite()
        for name, value in row.items():
            if name != "step":
                self._board.add_scalar(name, value, int(row["step"]))

    def _rewrite(self) -> None:
        """Write all rows under a header that names all their columns."""
        self._columns = list(dict.fromkeys(name for row in self.rows for name in row))
        if not self._columns:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns)
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(self.path, text.getvalue().encode())


def read_rows(path: Path) -> list[dict[str, float]]:
    """The rows of a log; none where there is no file, and a last line cut short by a crash is left out."""
    if not path.exists():
        return []
    rows = []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            try:
                rows.append({name: float(value) for name, value in row.items() if value})
            except (TypeError, ValueError):
                continue
    return [row for row in rows if "step" in row]


def status(row: dict[str, float]) -> str:
    """``812 images/s · loss 0.693 · accuracy 51 % · 3 % waiting for data``."""
    words = [f"{row['images_per_second']:.0f} images/s", f"loss {row['loss']:.3f}"]
    if "accuracy" in row:
        words.append(f"accuracy {row['accuracy']:.0%}")
    words.append(f"{row['data_wait']:.0%} waiting for data")
    return " · ".join(words)
