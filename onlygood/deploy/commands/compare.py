"""`onlygood compare`: results of probes side by side, as a table and a picture."""

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from onlygood.deploy.destination import check_output
from onlygood.pretrain.probe.result import ProbeResult
from onlygood.runtime import jsontext
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display, printable

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222")  # Okabe and Ito
_MARKERS = "osD^vPX"


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


def run(*, results: list[Path], output: Path | None, format: str, quiet: bool) -> None:
    """Print one line for each encoder and measure; ``output`` gets the picture (PNG, SVG or PDF).

    Results that differ in the seed alone become one line, with their spread. Results on other images or with
    other settings are shown, and named on stderr: their numbers do not compare.
    """
    if output is not None and output.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise OnlygoodError(f"{display(output)}: the picture's name ends in .png, .svg or .pdf")
    if output is not None:
        check_output(output, inputs=results)
    loaded = [ProbeResult.load(path) for path in results]
    if not loaded:
        raise OnlygoodError("no results to compare")
    if format == "json":
        sys.stdout.write(jsontext.dumps([_plain(line) for line in lines(loaded)], indent=2) + "\n")
    else:
        print_table(loaded)
    for words in differences(loaded):
        typer.echo(f"warning: {words}", err=True)
    if output is not None:
        write_plot(loaded, output)
        if not quiet:
            typer.echo(f"wrote {display(output)}", err=True)


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
            "standardisations": {result.standardize for result in group},
        }
        if differing := [name for name, values in aspects.items() if len(values) > 1]:
            words.append(f"{protocol}: results with different {' and '.join(differing)} do not compare")
    notes = {f"{display(result.data.source)}: {note}" for result in results for note in result.data.notes}
    return words + sorted(notes)


def print_table(results: Sequence[ProbeResult]) -> None:
    """One line for each encoder and measure, one column for each stage, on stdout."""
    found = lines(results)
    stages = _stages(found)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("encoder", "protocol", "measure"):
        table.add_column(heading, overflow="fold")
    for stage in stages:
        table.add_column("whole" if stage is None else f"stage {stage}", justify="right", no_wrap=True)
    for line in found:
        cells = [_text(line.cells.get(stage)) for stage in stages]
        table.add_row(printable(line.encoder), line.protocol, line.measure, *cells)
    wide = None if sys.stdout.isatty() else 40 * (3 + len(stages))  # nothing is cut in a file
    console = Console(file=sys.stdout, markup=False, emoji=False, highlight=False, width=wide)
    console.print(table)
    several = any(cell.seeds > 1 for line in found for cell in line.cells.values())
    words = "(…): 95 % interval of one result." + (" ±: standard deviation over seeds." if several else "")
    console.print(words, soft_wrap=True)


def write_plot(results: Sequence[ProbeResult], path: Path) -> None:
    """A panel for each protocol and measure: values over stages, a line for each encoder."""
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    from onlygood.anomaly.evaluation.plots import STYLE  # noqa: PLC0415

    found = lines(results)
    panels = list(dict.fromkeys((line.protocol, line.measure) for line in found))
    encoders = list(dict.fromkeys(line.encoder for line in found))
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.2 * columns + 0.6, 3.1 * rows + 0.7), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, panel in zip(grid, panels, strict=False):
            shown = [line for line in found if (line.protocol, line.measure) == panel]
            for index, line in enumerate(shown):
                number = encoders.index(line.encoder)
                stages = _stages([line])
                nudge = 0.08 * (index - (len(shown) - 1) / 2)  # intervals beside, not upon each other
                x = [nudge + (stage or 0) for stage in stages]
                cells = [line.cells[stage] for stage in stages]
                axes.errorbar(
                    x,
                    [cell.value for cell in cells],
                    [
                        [max(0, cell.value - cell.low) for cell in cells],
                        [max(0, cell.high - cell.value) for cell in cells],
                    ],
                    color=_COLORS[number % len(_COLORS)],
                    marker=_MARKERS[number % len(_MARKERS)],
                    capsize=3,
                    label=line.encoder,
                )
            axes.set_title(": ".join(panel))
            axes.grid(axis="y", color="#EBEBEB", lw=0.8)
            axes.set_axisbelow(True)
            stages = _stages(shown)
            if None in stages:
                axes.set_xticks([stage or 0 for stage in stages], [str(stage or "whole") for stage in stages])
                axes.set_xlim(-0.6, max(stage or 0 for stage in stages) + 0.6)
            else:
                axes.set_xlabel("stage of the encoder")
                axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        handles = {
            label: handle
            for axes in grid[: len(panels)]
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            handles.values(), handles.keys(), loc="outside lower left", ncols=columns, frameon=False
        )
        part = path.with_name(f".{path.name}.part")
        date: dict[str, Any] = {
            "png": {"Software": None},
            "svg": {"Date": None},
            "pdf": {"CreationDate": None},
        }
        kind = path.suffix.lower().removeprefix(".")
        try:
            figure.savefig(part, format=kind, dpi=150, metadata=date[kind])
            part.replace(path)
        except OSError as error:
            raise OnlygoodError(f"{display(path)}: cannot write: {error.strerror or error}") from None


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


def _stages(found: Iterable[Line]) -> list[int | None]:
    """All stages in order, the whole network at the end."""
    return sorted({stage for line in found for stage in line.cells}, key=lambda stage: (stage is None, stage))


def _text(cell: Cell | None) -> str:
    if cell is None:
        return ""
    if cell.std is not None:
        return f"{cell.value:.3f} ± {cell.std:.3f} ({cell.seeds} seeds)"
    return f"{cell.value:.3f} ({cell.low:.3f}–{cell.high:.3f})"


def _plain(line: Line) -> dict[str, Any]:
    return {
        "encoder": line.encoder,
        "protocol": line.protocol,
        "measure": line.measure,
        "stages": [{"stage": stage, **vars(cell)} for stage, cell in line.cells.items()],
    }
