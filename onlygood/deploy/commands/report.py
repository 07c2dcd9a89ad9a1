"""`onlygood report`: one page about a model and many images, for people."""

from collections.abc import Sequence

import typer

from onlygood.deploy.destination import check_output
from onlygood.deploy.messages import speaker
from onlygood.deploy.opening import opened
from onlygood.deploy.options.report import ReportOptions
from onlygood.deploy.report.collect import Looked, collect
from onlygood.deploy.report.document import LIMIT, page, report_data, room_for_pictures
from onlygood.deploy.report.pictures import pictures
from onlygood.deploy.report.subjects import find_subjects
from onlygood.pretrain.progress import Bar
from onlygood.runtime.atomic import write_atomically
from onlygood.runtime.images.files import printable
from onlygood.runtime.images.memory import Budget
from onlygood.runtime.images.reader import ReadOptions
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.rows.verdicts import Counts, exit_code
from onlygood.runtime.threads import available_cpus


def run(options: ReportOptions) -> int:
    """Write the page; as of `score`, 2 says that an image could not be read or judged."""
    say = speaker(quiet=options.quiet)
    detector = Detector(opened(options), threads=options.threads or 1)
    rate = options.max_false_alarms
    if rate is None:
        rate = detector.metadata.calibration.max_false_alarms
    threshold = detector.threshold(rate)
    subjects = find_subjects(options.paths)
    check_output(options.output, inputs=[options.model, *options.paths, *subjects.samples])
    for line in subjects.words:
        say(f"found {printable(line)}")
    reader, workers = ReadOptions(memory=Budget.of(options.max_memory)), options.workers or available_cpus()
    with Bar("scoring", shown=not options.quiet) as bar:
        found = collect(detector, subjects, threshold, reader=reader, workers=workers, progress=bar.move)
    data = report_data(
        detector,
        found,
        model=options.model,
        threshold=threshold,
        rate=rate,
        words=subjects.words,
        output=options.output,
        seed=options.seed,
    )
    room = room_for_pictures(data)
    with Bar("pictures", shown=not options.quiet) as bar:
        shown = pictures(
            found,
            detector.metadata.input,
            room,
            heat=detector.heat_range(options.max_false_alarms),
            reader=reader,
            workers=workers,
            progress=bar.move,
        )
    written = page(data, shown)
    write_atomically(options.output, written)
    counts = _counted(found.images)
    say(f"{counts}, {found.seconds:.1f} s")
    for line in _remarks(found.images, found.knows_seen, len(shown), len(written)):
        say(line)
    for row in (image.row for image in found.images if image.row.error):
        say(f"{printable(row.path)}: {printable(row.error)}")
    for folder in subjects.empty:
        typer.echo(f"{printable(folder)}: no images in this folder", err=True)
    typer.echo(f"wrote {printable(options.output)} ({len(written) / 1e6:.1f} MB)", err=options.quiet)
    return 2 if subjects.empty else exit_code(counts, judge=False)


def _counted(images: Sequence[Looked]) -> Counts:
    counts = Counts()
    for image in images:
        counts.add(image.row.status)
    return counts


def _remarks(images: Sequence[Looked], knows_seen: bool, shown: int, size: int) -> list[str]:
    """What a person should know beside the page, which says it too."""
    lines = []
    if seen := sum(image.seen for image in images):
        lines.append(f"{seen} images are known to the model, fitted or calibrated on them: they do not count")
    if not knows_seen:
        lines.append("the model file lists no training images: make sure that none of them is among these")
    readable = sum(image.row.score is not None for image in images)
    if shown < readable:
        lines.append(f"{readable - shown} images of low scores are listed without a picture")
    if size > LIMIT:
        lines.append(f"the page is larger than {LIMIT / 1e6:.0f} MB: give fewer images")
    return lines
