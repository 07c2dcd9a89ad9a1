"""`onlygood calibrate`: a new threshold from good images of this device; the graph stays as it is."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from onlygood.anomaly.data.datasets import discover
from onlygood.anomaly.data.groups import grouped
from onlygood.anomaly.data.samples import Dataset
from onlygood.deploy.clock import source_date
from onlygood.deploy.destination import check_output
from onlygood.deploy.messages import speaker
from onlygood.deploy.newscores import Intake
from onlygood.deploy.opening import opened
from onlygood.deploy.options.edge import CalibrateOptions
from onlygood.deploy.suspicion import suspicion
from onlygood.pretrain.progress import Bar
from onlygood.runtime import jsontext
from onlygood.runtime.atomic import write_atomically
from onlygood.runtime.errors import ModelError, OnlygoodError
from onlygood.runtime.images.files import display, printable
from onlygood.runtime.images.memory import Budget
from onlygood.runtime.images.reader import ReadOptions
from onlygood.runtime.model import calibration
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.metadata import Metadata
from onlygood.runtime.model.modelfile import check_sha256, read
from onlygood.runtime.model.recalibrate import doubts, promise, recalibrated
from onlygood.runtime.model.rewrite import with_metadata
from onlygood.runtime.model.selftest import generated_image, replay
from onlygood.runtime.model.signed import signature_path
from onlygood.runtime.threads import available_cpus

_FEEDBACK_ALONE = (
    "the feedback came alone: of images that were flagged, so that the promise holds and the threshold is"
    " higher than it need be. Give the other good images of the same days too"
)


def run(options: CalibrateOptions) -> int:
    """Score, put the scores into the file, and say what is promised now and was before."""
    say = speaker(quiet=options.quiet)
    date = source_date()
    if options.good_dir is None and not (options.feedback and options.append):
        raise OnlygoodError("give the folder of good images; feedback alone can only be added, with --append")
    output = options.output or options.model
    check_output(output, inputs=[path for path in (options.feedback, options.good_dir) if path is not None])
    detector = Detector(opened(options), threads=options.threads or 1, provider=options.provider)
    good, feedback = _found(options)
    for found in (good, feedback):
        if found is not None:
            say(f"found {found.description}")
    _check_device(detector, say)
    intake = Intake(detector, options.append, options.any_frame, say)
    reader, workers = ReadOptions(memory=Budget.of(options.max_memory)), options.workers or available_cpus()
    given = [(found, found is feedback) for found in (feedback, good) if found is not None]
    total = sum(len(found.samples) for found, _ in given)
    with Bar("scoring", total, shown=not options.quiet) as bar:
        for found, is_feedback in given:
            intake.take(
                found.samples, reader, workers=workers, feedback=is_feedback, step=lambda: bar.advance(total)
            )
    if not intake.good:
        raise OnlygoodError(f"no new good image is left of {total}: {_counted(intake.left_out)}")
    named = any(sample.group for found, _ in given for sample in found.samples)
    new = intake.scores(given[-1][0].root, grouped=named)
    before = detector.metadata
    after = recalibrated(
        before,
        new,
        append=options.append,
        rate=options.max_false_alarms,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() if date is None else date)),
    )
    data = with_metadata(detector.file.data, after)
    if options.output is None:
        _check_unchanged(options.model, detector.file.sha256)
    write_atomically(output.resolve(), data)
    warnings = [_FEEDBACK_ALONE] if options.good_dir is None else []
    if signature_path(output).exists():
        warnings.append(f"{display(signature_path(output))} is of the file as it was: sign it again")
    warnings += doubts(before.calibration, new, append=options.append)
    facts = _facts(output, data, after, intake) | {"warnings": warnings}
    if options.json:
        typer.echo(jsontext.dumps(facts, indent=2))
    else:
        typer.echo("\n".join(_lines(facts, after, append=options.append)))
    for words in warnings:
        typer.echo(f"warning: {words}", err=True)  # also where the rest is quiet
    for line in _suspect_lines(before, after):
        say(line)
    return 0


def _found(options: CalibrateOptions) -> tuple[Dataset | None, Dataset | None]:
    """The good images, and those of the feedback, with the parts that they show where these are named."""
    good = feedback = None
    if options.good_dir is not None:
        good = discover(options.good_dir, "train", all_good=options.all_good)
    if options.feedback is not None:
        if not options.feedback.is_file():
            raise OnlygoodError(f"{display(options.feedback)}: no such list; it reads path,label")
        feedback = discover(options.feedback)
    if options.groups is not None:
        good, feedback = (
            None if found is None else grouped(found, options.groups) for found in (good, feedback)
        )
    return good, feedback


def _check_device(detector: Detector, say: Callable[[str], None]) -> None:
    """Say so where this device computes other scores than the machine that made the model."""
    test, spec = detector.metadata.self_test, detector.metadata.input
    try:
        for i, expected in enumerate(test.scores):
            replay(detector.infer(generated_image(spec, i)[None])[0], [expected], test.tolerance)
    except ModelError as error:
        say(f"{error}; those set now hold where scores are computed as here")


def _check_unchanged(path: Path, sha256: str) -> None:
    """Refuse to replace a file that another run replaced meanwhile.

    Raises:
        OnlygoodError: it is not the one that was loaded.
    """
    if check_sha256(read(path)) != sha256:
        raise OnlygoodError(f"{display(path)} was changed while it was calibrated: calibrate it again")


def _facts(output: Path, data: bytes, metadata: Metadata, intake: Intake) -> dict[str, Any]:
    entry, held_out = metadata.history[-1], metadata.calibration
    now = promise(held_out)
    low, mean, high = calibration.achieved_interval(now.parts, now.max_false_alarms)
    return {
        "path": str(output),
        "sha256": check_sha256(data),
        "appended": entry.appended,
        "images": entry.images,
        "left_out": dict(intake.left_out),
        "feedback": entry.feedback.model_dump()
        | {
            "fine_flagged_now": intake.flagged(intake.fine, now.threshold),
            "anomalous_flagged_now": intake.flagged(intake.anomalous, now.threshold),
        },
        "unit": "image" if held_out.groups is None else "part",
        "rank": calibration.rank(now.parts, now.max_false_alarms),
        "before": entry.before.model_dump(),
        "now": now.model_dump(),
        "achieved": {"low": low, "mean": mean, "high": high, "confidence": 0.95},
    }


def _lines(facts: Mapping[str, Any], metadata: Metadata, *, append: bool) -> Iterator[str]:
    now, before, unit = facts["now"], facts["before"], facts["unit"]
    what = f"{facts['images']} new images"
    yield f"{printable(metadata.name)}: calibrated on {what}{' and the kept scores' * append}"
    yield ""
    yield _row("", "before", "now")
    yield _row("images", before["images"], now["images"])
    if unit == "part":
        yield _row("parts", before["parts"], now["parts"])
    yield _row("promised", f"{before['max_false_alarms']:.2%}", f"{now['max_false_alarms']:.2%}")
    limits = ("none" if side["threshold"] is None else f"{side['threshold']:.6g}" for side in (before, now))
    yield _row("threshold", *limits)
    said = facts["feedback"]
    if said["fine"]:
        yield _row(f"flagged of {said['fine']} fine", said["fine_flagged"], said["fine_flagged_now"])
    if said["anomalous"]:
        counts = said["anomalous_flagged"], said["anomalous_flagged_now"]
        yield _row(f"flagged of {said['anomalous']} anomalous", *counts)
    yield ""
    achieved = facts["achieved"]
    yield f"the true rate lies between {achieved['low']:.2%} and {achieved['high']:.2%} with 95 % confidence"
    if facts["rank"] == 1:
        yield f"the threshold hangs on one {unit}, the farthest of {now['parts']}: is it good?"
    if facts["left_out"]:
        yield f"left out: {_counted(facts['left_out'])}"
    yield f"wrote {printable(facts['path'])}, sha256 {facts['sha256']}"


def _row(label: str, before: Any, now: Any) -> str:
    return f"  {label:<24}{before!s:>12}{now!s:>12}"


def _counted(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items())


def _suspect_lines(before: Metadata, after: Metadata) -> Iterator[str]:
    """New images that perhaps are not good."""
    fresh = [suspect for suspect in after.suspects if suspect not in before.suspects]
    if fresh:
        yield f"look at these {len(fresh)} images, whose scores lie far outside the others':"
    for line in suspicion(after.model_copy(update={"suspects": fresh})):
        yield f"  {line}"
