"""Results of probes side by side: those that differ in the seed alone are one line."""

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from onlygood.deploy.tables import stdout, table
from onlygood.pretrain.probe.result import ProbeResult
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display, printable


@dataclass(frozen=True)
class Cell:
    """One number of the table; ``low`` to ``high`` is one result's 95 % interval, or the range over seeds."""

    value: float
    low: float
    high: float
    std: float | None  # over seeds, where there are several
    seeds: int


@dataclass(frozen=True)
class Line:
    """One encoder under one protocol and measure; a cell for each stage, None is the whole network."""

    encoder: str
    protocol: str
    measure: str
    cells: dict[int | None, Cell]


def lines(results: Sequence[ProbeResult]) -> list[Line]:
    """Group what differs in the seed alone, in the order in which they came.

    Raises:
        OnlygoodError: the same encoder, protocol, settings and seed twice.
    """
    groups: dict[str, list[ProbeResult]] = defaultdict(list)
    for result in results:
        groups[_identity(result)].append(result)
    labels = _labels([group[0] for group in groups.values()])
    found = []
    for label, group in zip(labels, groups.values(), strict=True):
        seeds = [result.seed for result in group]
        if len(set(seeds)) < len(seeds):
            raise OnlygoodError(f"{label}, {group[0].protocol}: the result of one seed is given twice")
        rows = defaultdict(list)
        for result in group:
            for row in result.rows:
                rows[row.measure, row.stage].append(row)
        cells: dict[str, dict[int | None, Cell]] = defaultdict(dict)
        for (measure, stage), same in rows.items():
            values = [row.value for row in same]
            if len(same) == 1:
                cell = Cell(values[0], same[0].low, same[0].high, None, 1)
            else:
                std = statistics.stdev(values)
                cell = Cell(statistics.fmean(values), min(values), max(values), std, len(values))
            cells[measure][stage] = cell
        found += [Line(label, group[0].protocol, measure, by_stage) for measure, by_stage in cells.items()]
    return found


def differences(results: Sequence[ProbeResult]) -> list[str]:
    """Sentences about results of one protocol whose numbers do not compare, and about flawed data."""
    words = []
    by_protocol: dict[str, list[ProbeResult]] = defaultdict(list)
    for result in results:
        by_protocol[result.protocol].append(result)
    for protocol, group in by_protocol.items():
        aspects: dict[str, set[str]] = {
            "images": {result.data.fingerprint for result in group},
            "sizes of the images": {result.data.input.model_dump_json() for result in group},
            "settings": {json.dumps(result.settings, sort_keys=True, allow_nan=False) for result in group},
            "standardizations": {result.standardize for result in group},
        }
        if differing := [name for name, values in aspects.items() if len(values) > 1]:
            words.append(f"{protocol}: results with different {' and '.join(differing)} do not compare")
    notes = {f"{display(result.data.source)}: {note}" for result in results for note in result.data.notes}
    return words + sorted(notes)


def print_table(results: Sequence[ProbeResult]) -> None:
    """One line for each encoder and measure, one column for each stage, on stdout."""
    found = lines(results)
    stages = stages_of(found)
    names = ["whole" if stage is None else f"stage {stage}" for stage in stages]
    rows = table(["encoder", "protocol", "measure"], names)
    for line in found:
        cells = [_text(line.cells.get(stage)) for stage in stages]
        rows.add_row(printable(line.encoder), line.protocol, line.measure, *cells)
    wide = None if sys.stdout.isatty() else 40 * (3 + len(stages))  # nothing is cut in a file
    console = stdout(wide)
    console.print(rows)
    several = any(cell.seeds > 1 for line in found for cell in line.cells.values())
    words = "(…): 95 % interval of one result." + (" ±: standard deviation over seeds." if several else "")
    console.print(words, soft_wrap=True)


def stages_of(found: Iterable[Line]) -> list[int | None]:
    """All stages in order, the whole network at the end."""
    return sorted({stage for line in found for stage in line.cells}, key=lambda stage: (stage is None, stage))


def _identity(result: ProbeResult) -> str:
    """What the results of several seeds have in common.

    Untrained encoders of two seeds differ in their weights, and are meant to.
    """
    trained = "" if result.encoder.source.startswith("random:") else result.encoder.sha256
    encoder = [result.encoder.label, trained]
    data = [result.data.fingerprint, result.data.input.model_dump(), result.standardize]
    return json.dumps([encoder, result.protocol, result.settings, *data], sort_keys=True, allow_nan=False)


def _labels(results: Sequence[ProbeResult]) -> list[str]:
    """Names of encoders; where two files have one name, the beginning of their hashes tells them apart."""
    files: dict[str, set[str]] = defaultdict(set)
    for result in results:
        files[result.encoder.label].add(result.encoder.sha256)
    return [
        result.encoder.label
        if len(files[result.encoder.label]) == 1 or result.encoder.source.startswith("random:")
        else f"{result.encoder.label} {result.encoder.sha256[:8]}"
        for result in results
    ]


def _text(cell: Cell | None) -> str:
    if cell is None:
        return ""
    if cell.std is not None:
        return f"{cell.value:.3f} ± {cell.std:.3f} ({cell.seeds} seeds)"
    return f"{cell.value:.3f} ({cell.low:.3f}–{cell.high:.3f})"
