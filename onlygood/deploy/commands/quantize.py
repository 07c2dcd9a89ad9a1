"""`onlygood quantize`: a smaller and faster model that judges alike, or a refusal that says why not."""

import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import typer

from onlygood.anomaly.data.datasets import discover
from onlygood.anomaly.data.groups import grouped
from onlygood.deploy.clock import source_date
from onlygood.deploy.destination import check_output
from onlygood.deploy.messages import speaker
from onlygood.deploy.newscores import Intake
from onlygood.deploy.opening import opened
from onlygood.deploy.options.edge import QuantizeOptions
from onlygood.runtime import jsontext
from onlygood.runtime.atomic import write_atomically
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display, printable
from onlygood.runtime.images.memory import Budget
from onlygood.runtime.images.reader import ReadOptions
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.metadata import Metadata, Quantization
from onlygood.runtime.model.modelfile import check_sha256
from onlygood.runtime.model.recalibrate import promise, recalibrated
from onlygood.runtime.model.rewrite import with_metadata
from onlygood.runtime.threads import available_cpus

if TYPE_CHECKING:
    from onlygood.deploy.agreement import Agreement
    from onlygood.deploy.smaller import Attempt, Candidate


def run(options: QuantizeOptions) -> int:
    """Try, compare, calibrate, measure and write; or refuse."""
    if find_spec("onnx") is None:
        raise OnlygoodError("`onlygood quantize` needs the package 'onnx': pip install 'onlygood[quantize]'")
    from onlygood.deploy.smaller import Attempt, detector_of, milliseconds, sort_images, with_self_test  # noqa: PLC0415

    say, date = speaker(quiet=options.quiet), source_date()
    check_output(options.output, inputs=[options.model, options.calibration])
    source = Detector(opened(options))
    if source.metadata.quantization is not None:
        raise OnlygoodError(
            f"{display(options.model)} is quantized already: quantize the file that it was made from"
        )
    good = discover(options.calibration, "train", all_good=options.all_good)
    if options.groups is not None:
        good = grouped(good, options.groups)
    say(f"found {good.description}")
    reader, workers = ReadOptions(memory=Budget.of(options.max_memory)), options.workers or available_cpus()
    images = sort_images(source, good.samples, reader, workers=workers)
    say(f"{images.words}; {len(images.judged)} of {len(images.calibration)} others to compare judgments on")
    attempt = Attempt(
        source, images, seed=options.seed, reduce_range=options.reduce_range, keep=options.keep_float or []
    )
    precision = "fp16" if options.fp16 else "int8"
    tried = [attempt.fp16()] if options.fp16 else attempt.int8(say)
    best = tried[0]
    _check(options, attempt, best)
    smaller = detector_of(best.data)
    intake = Intake(smaller, append=False, any_frame=False, say=say)
    intake.take(images.calibration, reader, workers=workers)
    made = recalibrated(
        with_self_test(best.data, source.metadata),
        intake.scores(good.root, grouped=any(sample.group for sample in good.samples)),
        append=False,
        rate=options.max_false_alarms,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() if date is None else date)),
    )
    about = Quantization(
        precision=precision,
        ranges=best.ranges,
        kept_float=attempt.keep,
        source_sha256=source.file.sha256,
        agreement=best.agreement.rank,
        auroc_loss=best.agreement.loss,
        images=len(images.judged),
    )
    data = with_metadata(best.data, made.model_copy(update={"quantization": about}))
    write_atomically(options.output.resolve(), data)
    before, after = milliseconds([source.file.data, data], images.judged[0])
    facts = _facts(options, source, data, made, attempt=attempt, tried=tried) | {
        "milliseconds": {"before": before, "after": after},
        "speedup": before / after,
    }
    typer.echo(jsontext.dumps(facts, indent=2) if options.json else "\n".join(_lines(facts)))
    for words in _warnings(facts, options):
        typer.echo(f"warning: {words}", err=True)
    return 0


def _check(options: QuantizeOptions, attempt: "Attempt", best: "Candidate") -> None:
    """Hold the bounds.

    Raises:
        OnlygoodError: the best candidate does not judge alike; the layers that hurt most are named.
    """

    def faults(found: "Agreement") -> list[str]:
        words = []
        if not found.rank >= options.least_agreement:
            words.append(
                f"it ranks good images with an agreement of {found.rank:.4f} (Spearman) where"
                f" {options.least_agreement:g} is the least"
            )
        if not found.loss <= options.most_loss:
            words.append(
                f"its AUROC on painted defects is {found.auroc:.4f} where the model in float has"
                f" {found.auroc_before:.4f}, and {options.most_loss:g} may be lost"
            )
        return words

    if not (wrong := faults(best.agreement)):
        return
    words = f"not written: the smaller model does not judge alike: {'; '.join(wrong)}"
    if best.ranges:
        blamed, reached = attempt.mended(best.ranges, lambda found: not faults(found))
        words += f". The layers that hurt most: {', '.join(blamed)}"
        if reached is not None:
            words += (
                f". {'With' if not faults(reached) else 'Even with'} these in float the agreement is"
                f" {reached.rank:.4f} and the AUROC {reached.auroc:.4f}:"
                f" {' '.join(f'--keep-float {layer}' for layer in blamed)}"
            )
    raise OnlygoodError(words)


def _facts(
    options: QuantizeOptions,
    source: Detector,
    data: bytes,
    made: Metadata,
    *,
    attempt: "Attempt",
    tried: list["Candidate"],
) -> dict[str, Any]:
    best, entry, now = tried[0].agreement, made.history[-1], promise(made.calibration)
    return {
        "path": str(options.output),
        "sha256": check_sha256(data),
        "precision": "fp16" if options.fp16 else "int8",
        "tried": [
            {"ranges": one.ranges, "agreement": one.agreement.rank, "auroc": one.agreement.auroc}
            for one in tried
        ],
        "ranges": tried[0].ranges,
        "layers": len(attempt.graph.layers) - len(attempt.keep),
        "kept_float": attempt.keep,
        "bytes": {"before": len(source.file.data), "after": len(data)},
        "agreement": best.rank,
        "auroc_painted": {"before": best.auroc_before, "after": best.auroc},
        "compared_on": len(attempt.probe.good),
        "calibrated_on": entry.images,
        "threshold": {"before": entry.before.threshold, "after": now.threshold},
        "max_false_alarms": now.max_false_alarms,
        "self_test_tolerance": made.self_test.tolerance,
    }


def _lines(facts: Mapping[str, Any]) -> Iterator[str]:
    size, speed, area, limit = (facts[key] for key in ("bytes", "milliseconds", "auroc_painted", "threshold"))
    how = f", ranges by {facts['ranges']}" if facts["ranges"] else ""
    yield f"{facts['layers']} layers in {facts['precision']}{how}, {len(facts['kept_float'])} kept in float"
    yield ""
    yield _row("", "before", "after")
    yield _row("MB", f"{size['before'] / 1e6:.2f}", f"{size['after'] / 1e6:.2f}", _times(size))
    yield _row("ms, one thread", f"{speed['before']:.1f}", f"{speed['after']:.1f}", _times(speed))
    yield _row("AUROC, painted defects", f"{area['before']:.4f}", f"{area['after']:.4f}")
    was = "none" if limit["before"] is None else f"{limit['before']:.6g}"
    promised = f"{facts['max_false_alarms']:.2%} false alarms promised"
    yield _row("threshold", was, f"{limit['after']:.6g}", promised)
    yield ""
    yield f"rank agreement {facts['agreement']:.4f} (Spearman) on {facts['compared_on']} good images"
    yield f"calibrated on {facts['calibrated_on']} good images by its own scores"
    yield f"wrote {printable(facts['path'])}, sha256 {facts['sha256']}"


def _row(label: str, before: str, after: str, note: str = "") -> str:
    return f"  {label:<24}{before:>12}{after:>12}   {note}".rstrip()


def _times(pair: Mapping[str, float]) -> str:
    return f"{pair['before'] / pair['after']:.2f} times"


def _warnings(facts: Mapping[str, Any], options: QuantizeOptions) -> Iterator[str]:
    if not options.fp16 and facts["speedup"] < 1.2:
        yield (
            "hardly faster on this processor: 8 bits pay where it has dot products for them (VNNI, or ARM"
            " from Cortex-A76 on). `onlygood bench` on the device tells"
        )
    if facts["auroc_painted"]["before"] < 0.6:
        yield "the model in float hardly sees the painted defects: they tell little of the smaller one"
