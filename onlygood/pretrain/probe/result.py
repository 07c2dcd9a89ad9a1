"""What a probe found, and all that is needed to repeat it; JSON, and no torch to read it."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field

from onlygood.runtime import jsontext
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.strict import Strict


class Measurement(Strict):
    """One number with its 95 % interval; ``stage`` counts from 1, None is the whole network."""

    stage: int | None
    measure: str  # accuracy, 5-shot, colour R² …
    value: float
    low: float
    high: float
    details: dict[str, Any] = Field(default_factory=dict)  # what was chosen and how training ended


class EncoderInfo(Strict):
    """Which weights; ``sha256`` is of the file, or of the tensors if there is no file."""

    label: str
    name: str
    channels: int
    sha256: str
    source: str


class DataInfo(Strict):
    """Which images; counts are by class. ``fingerprint`` covers contents, labels and parts."""

    source: str
    description: str
    fingerprint: str
    train: dict[str, int]
    test: dict[str, int]
    unreadable: int
    notes: list[str]
    input: InputSpec


class ProbeResult(Strict):
    """One protocol on one encoder and one data set; rows are of the final epoch, never of the best."""

    schema_version: Literal[1] = 1
    protocol: str
    settings: dict[str, Any]
    seed: int
    standardize: Literal["image", "fixed", "unit", "plain", "imagenet"]
    device: str
    encoder: EncoderInfo
    data: DataInfo
    rows: list[Measurement] = Field(min_length=1)
    seconds: float
    versions: dict[str, str]

    def to_json(self) -> str:
        """Indented, with a newline at the end."""
        return jsontext.dumps(self.model_dump(mode="json"), indent=2, ascii=False) + "\n"

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            OnlygoodError: the file is missing or no result of a probe.
        """
        try:
            values = jsontext.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise OnlygoodError(f"{path}: {error.strerror or error}") from None
        except ValueError:
            raise OnlygoodError(f"{path}: not a JSON file, so no result of `onlygood probe`") from None
        if not isinstance(values, dict) or "protocol" not in values:
            raise OnlygoodError(f"{path}: not a result of `onlygood probe`")
        return cls.parse(values, str(path))


def accuracy_row(
    stage: int | None, correct: int, total: int, details: dict[str, Any] | None = None
) -> Measurement:
    """Accuracy over test images, with Wilson's interval."""
    low, high = wilson(correct, total)
    return Measurement(
        stage=stage,
        measure="accuracy",
        value=correct / total,
        low=low,
        high=high,
        details={"correct": correct, "images": total, **(details or {})},
    )


def mean_row(
    stage: int | None, measure: str, values: Sequence[float], details: dict[str, Any] | None = None
) -> Measurement:
    """A mean over repeats, with Student's interval and the standard deviation among the details."""
    mean, spread = statistics.fmean(values), statistics.stdev(values)
    half = student(len(values)) * spread / math.sqrt(len(values))
    return Measurement(
        stage=stage,
        measure=measure,
        value=mean,
        low=mean - half,
        high=mean + half,
        details={"std": spread, "repeats": len(values), **(details or {})},
    )


def wilson(correct: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927); it stays within [0, 1], also at the ends."""
    share, weight = correct / total, z * z / total
    center = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / total + weight / (4 * total)) / (1 + weight)
    return max(0.0, min(share, center - half)), min(1.0, max(share, center + half))


def student(count: int) -> float:
    """The 97.5 % quantile of Student's t with ``count`` - 1 degrees of freedom."""
    from scipy.stats import t  # noqa: PLC0415

    return float(t.ppf(0.975, count - 1))
