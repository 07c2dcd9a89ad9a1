"""`onlygood compare`: results of probes side by side, as a table and a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from onlygood.deploy.comparison import Line, differences, lines, print_table, stages_of
from onlygood.deploy.destination import check_output
from onlygood.deploy.options.probes import CompareOptions
from onlygood.deploy.options.shared import MetricsFormat
from onlygood.pretrain.probe.result import ProbeResult
from onlygood.runtime import jsontext
from onlygood.runtime.atomic import replacing
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222")  # Okabe and Ito
_MARKERS = "osD^vPX"
# What matplotlib would write of the time and of itself, by format; without it equal pictures are equal files.
_NO_DATE: dict[str, Any] = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


def run(options: CompareOptions) -> int:
    """Print one line for each encoder and measure; ``-o`` gets the picture (PNG, SVG or PDF).

    Results that differ in the seed alone become one line, with their spread. Results on other images or with
    other settings are shown, and named on stderr: their numbers do not compare.
    """
    output = options.output
    if output is not None:
        check_output(output, inputs=options.results, pictures=[f".{kind}" for kind in _NO_DATE])
    loaded = [ProbeResult.load(path) for path in options.results]
    if not loaded:
        raise OnlygoodError("no results to compare")
    if options.format is MetricsFormat.JSON:
        typer.echo(jsontext.dumps([_plain(line) for line in lines(loaded)], indent=2))
    else:
        print_table(loaded)
    for words in differences(loaded):
        typer.echo(f"warning: {words}", err=True)
    if output is not None:
        write_plot(loaded, output)
        if not options.quiet:
            typer.echo(f"wrote {display(output)}", err=True)
    return 0


def write_plot(results: Sequence[ProbeResult], path: Path) -> None:
    """A panel for each protocol and measure: values over stages, a line for each encoder."""
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    from onlygood.pretrain.summary.style import STYLE  # noqa: PLC0415

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
                stages = stages_of([line])
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
            stages = stages_of(shown)
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
        kind = path.suffix.lower().removeprefix(".")
        try:
            with replacing(path) as temporary:
                figure.savefig(temporary, format=kind, dpi=150, metadata=_NO_DATE[kind])
        except OSError as error:
            raise OnlygoodError(f"{display(path)}: cannot write: {error.strerror or error}") from None


def _plain(line: Line) -> dict[str, Any]:
    return {
        "encoder": line.encoder,
        "protocol": line.protocol,
        "measure": line.measure,
        "stages": [{"stage": stage, **vars(cell)} for stage, cell in line.cells.items()],
    }
