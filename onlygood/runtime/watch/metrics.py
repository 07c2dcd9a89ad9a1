"""Numbers for Prometheus, as text in a file (for the textfile collector of its node exporter)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Metric:
    """One metric: its value for each set of labels."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    values: list[tuple[Labels, float]] = field(default_factory=list)


def one(name: str, kind: Literal["counter", "gauge"], help: str, value: float, /, **labels: str) -> Metric:
    """A metric with one value."""
    return Metric(name, kind, help, [(labels, value)])


def each(
    name: str, kind: Literal["counter", "gauge"], help: str, label: str, values: Mapping[str, float]
) -> Metric:
    """A metric with a value for each value of one label."""
    return Metric(name, kind, help, [({label: key}, value) for key, value in values.items()])


def exposition(metrics: Iterable[Metric]) -> str:
    """The text format 0.0.4; metrics without a value are left out."""
    lines = []
    for metric in metrics:
        if metric.values:
            lines.append(f"# HELP {metric.name} {_escaped(metric.help)}")
            lines.append(f"# TYPE {metric.name} {metric.kind}")
            lines += [f"{metric.name}{_labels(labels)} {value + 0!r}" for labels, value in metric.values]
    return "".join(line + "\n" for line in lines)


def _labels(labels: Labels) -> str:
    pairs = [f'{name}="{_escaped(value, quoted=True)}"' for name, value in labels.items()]
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _escaped(text: str, *, quoted: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quoted else text
