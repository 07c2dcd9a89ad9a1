"""`onlygood score` and `onlygood check`: every image to a row; `check` shows what is not normal."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from shutil import get_terminal_size
from typing import Any, TextIO

from onlygood.deploy.copies import Copies
from onlygood.deploy.destination import check_output, destination, passed_on
from onlygood.deploy.judges import Judges, one_model
from onlygood.deploy.messages import Messages
from onlygood.deploy.options.rows import CheckOptions, Color, OnError, RowFormat, ScoreOptions
from onlygood.deploy.options.shared import Engine
from onlygood.deploy.routing import check_routable, routed
from onlygood.deploy.terminal import CLEAR, DRAWN, Bars, is_screen
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import Findings, as_on_disk, find_images, read_list
from onlygood.runtime.images.remote import Place, Remote, looks_far
from onlygood.runtime.rows.drift import Monitor, watched
from onlygood.runtime.rows.ledger import Ledger
from onlygood.runtime.rows.verdicts import (
    Counts,
    Row,
    Status,
    TextWriter,
    Writer,
    exit_code,
    make_writer,
)

_STDIN = Path("-")
_FLAGGED = (Status.ANOMALOUS, Status.UNUSABLE)
_FORMATS = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".txt": "text", ".parquet": "parquet"}


def run(options: ScoreOptions) -> int:
    """Score or check; returns the exit code."""
    format = _format(options)
    shown = options.output is None and format == "text" and is_screen(sys.stdout)
    if options.preview and not (shown and _colored(options.color, sys.stdout)):
        raise OnlygoodError("--preview draws in a terminal that has colors: not in a file or pipe")
    say = Messages(
        quiet=options.quiet,
        verbose=options.verbose,
        rows_on_terminal=options.output is None and sys.stdout.isatty(),
        rows_make_room=shown,
    )
    if options.output is not None:
        read = [path for path in (options.model, options.files_from) if path is not None]
        check_output(options.output, inputs=read, device=not options.resume)
    judges = one_model(options, say) if options.route is None else routed(options, say)
    copies = None if options.copy_flagged is None else Copies(options.copy_flagged)
    parts, monitor = judges.parts, judges.monitor
    counts, findings = Counts(unit="image" if parts is None else "part"), Findings()
    found = passed_on(_at_least_one(_paths(options, findings)), options.output)
    with _rows_file(options, format, judges) as (stream, ledger):
        rows = judges.rows(_not_done(found, ledger, counts, copies, judges))
        try:
            with closing(rows), _writer(format, stream, judges, options, say if shown else None) as writer:
                judged = rows if monitor is None else _drifting(rows, monitor, say)
                for row in judged if parts is None else parts.verdicts(_said(judged, say)):
                    counts.add(row.status)
                    if _wanted(row, options, ledger):
                        writer.write(row)
                        stream.flush()
                    if copies is not None and row.status in _FLAGGED:
                        copies.add(row.path)
                    if parts is None:
                        say.row(row, counts)
                writer.finish()
        except KeyboardInterrupt:
            say.summary(counts)
            raise
    say.summary(counts)
    say.findings(findings)
    code = exit_code(
        counts,
        judge=options.judge,
        skip_errors=options.on_error is OnError.SKIP,
        exit_zero=isinstance(options, CheckOptions) and options.exit_zero,
    )
    return 2 if findings.empty else code  # a mistyped folder beside others must not pass a gate


def _said(rows: Iterable[Row], say: Messages) -> Iterator[Row]:
    """The rows, of which is said what is wrong with each image, before parts are made of them."""
    images = Counts()
    for row in rows:
        images.add(row.status)
        say.row(row, images)
        yield row


def _drifting(rows: Iterable[Row], monitor: Monitor, say: Messages) -> Iterator[Row]:
    """The rows, which say what has moved since the calibration."""
    for row in rows:
        marked, words = watched(row, monitor)
        if words:
            say.note(words)
        yield marked


@contextmanager
def _rows_file(options: ScoreOptions, format: str, judges: Judges) -> Iterator[tuple[TextIO, Ledger | None]]:
    """Where rows go, and with --resume what is known already."""
    if options.resume and options.output is not None:
        with Ledger(options.output, judges.settings) as ledger:
            yield ledger.stream, ledger
        return
    with destination(options.output, format) as stream:
        yield stream, None


@contextmanager
def _writer(
    format: str, stream: TextIO, judges: Judges, options: ScoreOptions, screen: Messages | None
) -> Iterator[Writer]:
    """What writes rows; ``screen`` is what shows the counts below them in a terminal."""
    if screen is not None:  # a table with bars
        bars = Bars.on(stream, judges.lowest, get_terminal_size().columns)
        before = CLEAR if screen.progress else ""
        yield TextWriter(stream, _colored(options.color, stream), bars=bars, before=before, below=DRAWN)
        return
    if format == RowFormat.PARQUET:
        from onlygood.runtime.rows.columns import ParquetWriter  # noqa: PLC0415 - an extra

        with ParquetWriter(stream.buffer, judges.settings) as table:
            yield table
        return
    yield make_writer(
        format,
        stream,
        judges.settings,
        color=_colored(options.color, stream),
        spreadsheet_safe=options.spreadsheet_safe,
    )


def _wanted(row: Row, options: ScoreOptions, ledger: Ledger | None) -> bool:
    """Whether the row is written: `check` leaves out the normal ones, a ledger what it has already."""
    if ledger is not None:
        return ledger.find(row.path, row.settings) is not row.status
    return not options.judge or row.status is not Status.NORMAL


# --- what was typed


def _format(options: ScoreOptions) -> str:
    """The format of rows.

    Raises:
        OnlygoodError: options contradict each other.
    """
    if options.resume and (options.output is None or options.format not in (RowFormat.AUTO, RowFormat.JSONL)):
        raise OnlygoodError("--resume appends to a JSONL file: give it with -o rows.jsonl (and -f jsonl)")
    if options.parts is not None and (options.resume or options.tile):
        raise OnlygoodError(
            "--parts judges a part when all its images are known: not with --resume or --tile"
        )
    if options.tile is not None and options.engine is Engine.RAY:
        raise OnlygoodError("--tile and --engine ray do not go together: workers judge whole images")
    if options.route is not None:
        check_routable(options)
    if options.ray_address is not None and options.engine is not Engine.RAY:
        raise OnlygoodError("--ray-address says where --engine ray works: give that too")
    format = _chosen_format(options)
    if options.boxes and format not in ("json", "jsonl", "parquet"):
        raise OnlygoodError("--boxes are written in JSON: give -f jsonl, or -o with a name that ends so")
    if format == "parquet" and options.output is None:
        raise OnlygoodError("a Parquet table is no stream: give it a file, -o rows.parquet")
    return format


def _chosen_format(options: ScoreOptions) -> str:
    if options.format is not RowFormat.AUTO:
        return options.format
    if options.resume or (options.boxes and options.output is None):
        return "jsonl"
    if options.output is not None:
        return _FORMATS.get(options.output.suffix.lower(), "csv")
    return "text" if sys.stdout.isatty() else "csv"


def _paths(options: ScoreOptions, findings: Findings) -> Iterator[Place]:
    """Images of the arguments, then of the lists."""
    given = options.paths or []
    lists = [_STDIN for path in given if path == _STDIN][:1]
    if options.files_from is not None and options.files_from not in lists:
        lists.append(options.files_from)
    listed = (read_list(sys.stdin.buffer if path == _STDIN else path, options.null) for path in lists)
    named = chain((path for path in given if path != _STDIN), chain.from_iterable(listed))
    exclude, recursive = options.exclude or (), not options.no_recursive
    paths = find_images(
        map(as_on_disk, named),
        recursive=recursive,
        follow_symlinks=options.follow_symlinks,
        exclude=exclude,
        findings=findings,
        far=partial(_far, recursive=recursive, exclude=exclude, findings=findings),
    )
    written = {folder.resolve() for folder in (options.copy_flagged, options.heatmaps) if folder is not None}
    if not written:
        return paths
    return (  # else copied for ever
        path for path in paths if isinstance(path, Remote) or written.isdisjoint(path.resolve().parents)
    )


def _far(path: Path, **how: Any) -> Iterator[Place] | None:
    """What a URL, an archive or a table holds; None of what is none."""
    if not looks_far(path):
        return None
    from onlygood.runtime.far.find import find_far  # noqa: PLC0415 - nothing for files of this machine

    return find_far(path, **how)


def _at_least_one(paths: Iterator[Place]) -> Iterator[Place]:
    """The same paths.

    Raises:
        OnlygoodError: there are none; a mistyped folder must not pass a gate.
    """
    first = next(paths, None)
    if first is None:
        raise OnlygoodError("no images found; give image files or folders, or a list with --files-from")
    return chain([first], paths)


def _not_done(
    paths: Iterator[Place],
    ledger: Ledger | None,
    counts: Counts,
    copies: Copies | None,
    judges: Judges,
) -> Iterator[Place]:
    """Paths that no earlier run has a verdict on, or none that stands, or whose heatmap is missing.

    The others are counted; of these, the flagged ones get a copy where an earlier run did not finish it.
    """
    for path in paths:
        status = None if ledger is None else ledger.find(path, judges.settings_of(path))
        if status in (None, Status.ERROR, Status.UNUSABLE) or judges.lacks_heatmap(path, status):
            yield path
            continue
        counts.add(status, earlier=True)
        if copies is not None and status in _FLAGGED:
            copies.repair(path)


def _colored(when: Color, stream: TextIO) -> bool:
    if when is Color.AUTO:
        return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return when is Color.ALWAYS
