"""`onlygood info`: what a model file says of itself, for people or as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import typer

from onlygood.deploy.opening import opened
from onlygood.deploy.options.models import InfoOptions
from onlygood.deploy.suspicion import suspicion
from onlygood.runtime import jsontext
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import printable
from onlygood.runtime.model import calibration
from onlygood.runtime.model.metadata import Calibration, Frames, Recalibration
from onlygood.runtime.model.modelfile import ModelFile
from onlygood.runtime.model.session import available_providers


def run(options: InfoOptions) -> int:
    """Print the summary, for which neither an image nor a session is needed."""
    file = opened(options)
    rate = options.max_false_alarms
    if rate is None:
        rate = file.metadata.calibration.max_false_alarms
    facts = {
        "path": str(options.model),
        "sha256": file.sha256,
        "bytes": len(file.data),
        "opset": file.opset,
        "ir_version": file.ir_version,
        "providers": available_providers(),
        "verdicts": _verdicts(file.metadata.calibration, rate),
        "metadata": file.metadata.model_dump(mode="json"),
    }
    typer.echo(jsontext.dumps(facts, indent=2) if options.json else "\n".join(_lines(file, facts)))
    return 0


def _verdicts(held_out: Calibration, rate: float) -> dict[str, Any]:
    """The threshold at ``rate`` and what it achieves; or the reason why there is none."""
    try:
        threshold = calibration.threshold(np.asarray(held_out.scores), rate, held_out.weights())
    except OnlygoodError as error:
        return {"max_false_alarms": rate, "threshold": None, "reason": str(error)}
    low, mean, high = calibration.achieved_interval(held_out.parts(), rate)
    achieved = {"low": low, "mean": mean, "high": high, "confidence": 0.95}
    k = calibration.rank(
        held_out.parts(), rate
    )  # the threshold is the k-th largest score, where each is a part
    return {"max_false_alarms": rate, "threshold": threshold, "rank": k, "achieved": achieved}


def _lines(file: ModelFile, facts: Mapping[str, Any]) -> Iterator[str]:
    metadata, spec = file.metadata, file.metadata.input
    scores, test = metadata.calibration.scores, metadata.self_test
    yield f"{printable(metadata.name)}: an onlygood detector"
    yield ""
    yield _line("checked", "structure, metadata, and by the seal that no byte changed since it was set")
    yield _line("", "not run: `onlygood verify` tells whether this device computes the same scores")
    color = "RGB" if spec.channels == 3 else "gray"
    yield _line("input", f"{spec.width} × {spec.height} {color}, {spec.resize}")
    yield _line("", f"16-bit images that do not say their own depth are {spec.bit_depth} bits deep")
    if spec.jpeg == "reduced":
        yield _line("", "large JPEGs are shrunk while decoding")
    if (inside := metadata.inside()) is not None:
        yield _line("area", f"{inside.mean():.0%} of the image is looked at")
    yield _line("heatmap", f"{metadata.heatmap[1]} × {metadata.heatmap[0]}")
    yield _line("calibration", f"{len(scores)} good images that the model never saw")
    yield _line("", f"scores {scores[0]:.6g} … {scores[-1]:.6g}, median {np.median(scores):.6g}")
    yield from _promise_lines(metadata.calibration)
    yield from _history_lines(metadata.history)
    unit = "image" if metadata.calibration.groups is None else "part"
    yield from _threshold_lines(unit=unit, **facts["verdicts"])
    if metadata.suspects:
        yield _line("suspects", f"{len(metadata.suspects)} images with scores far outside the others'")
    yield from (_line("", line) for line in suspicion(metadata))
    yield from _frame_lines(metadata.frames)
    yield _line("self-test", f"{len(test.scores)} images, tolerance {test.tolerance:.1e}")
    yield _line("parity", f"{metadata.parity.max_relative:.1e} from torch on {metadata.parity.images} images")
    if (smaller := metadata.quantization) is not None:
        kept = f"; in float {', '.join(map(printable, smaller.kept_float))}" if smaller.kept_float else ""
        yield _line("quantized", f"{smaller.precision} from {smaller.source_sha256[:12]}{kept}")
        words = f"rank agreement {smaller.agreement:.4f}, {smaller.auroc_loss:+.4f} AUROC lost"
        yield _line("", f"{words} on {smaller.images} good images and painted defects")
    yield _line("file", f"{len(file.data):,} bytes, ONNX opset {file.opset}, IR {file.ir_version}")
    yield _line("sha256", file.sha256)
    yield _line("runs on", ", ".join(facts["providers"]))
    for title, values in (("recipe", metadata.recipe), ("provenance", metadata.provenance)):
        yield ""
        yield title
        yield from (f"  {printable(key)} = {value}" for key, value in _leaves(values))


def _promise_lines(held_out: Calibration) -> Iterator[str]:
    """For whom the promise holds, and the smallest one that can be had."""
    parts = held_out.parts()
    smallest = f"smallest rate {calibration.smallest_alpha(parts):.3g}"
    if held_out.groups is None:
        yield _line("promise", f"for new images like these {parts}, each as a part of its own; {smallest}")
        yield _line("", "if these show parts several times: for the same parts, and not for new ones")
    else:
        yield _line("promise", f"for new parts: {parts} parts, {len(held_out.scores)} images; {smallest}")


def _history_lines(history: Sequence[Recalibration]) -> Iterator[str]:
    """How often, when last and with what the file was calibrated anew."""
    if not history:
        return
    last, before, said = history[-1], history[-1].before, history[-1].feedback
    times = "1 time" if len(history) == 1 else f"{len(history)} times"
    how = "added to" if last.appended else "in place of"
    yield _line(
        "", f"calibrated anew {times}, last {printable(last.created)}: {last.images} images {how} others"
    )
    limit = "no threshold" if before.threshold is None else f"threshold {before.threshold:.6g}"
    yield _line("", f"before: {before.images} images, {limit}, {before.max_false_alarms:.2%} false alarms")
    if said.fine or said.anomalous:
        words = f"of {said.fine} fine ones {said.fine_flagged} had been flagged"
        words += f", of {said.anomalous} anomalous ones {said.anomalous_flagged}"
        yield _line("", f"feedback: {words}")


def _threshold_lines(
    *,
    unit: str,
    max_false_alarms: float,
    threshold: float | None,
    achieved: Mapping[str, float] | None = None,
    rank: int = 0,
    reason: str = "",
) -> Iterator[str]:
    if threshold is None or achieved is None:
        yield _line("threshold", reason)
        return
    yield _line("threshold", f"{threshold:.6g}, for at most {max_false_alarms:.2%} false alarms")
    if rank == 1:
        yield _line("", f"it hangs on one {unit}, the one with the largest score of these")
    yield _line("", f"achieved rate with 95 % confidence: {achieved['low']:.2%} … {achieved['high']:.2%}")


def _frame_lines(frames: Frames | None) -> Iterator[str]:
    if frames is None:
        yield _line("frames", "not judged: the file says nothing of them, so a covered lens may pass as good")
        return
    (dark, bright), (dull, vivid) = frames.brightness, frames.contrast
    yield _line(
        "frames", f"brightness {dark:.0f} … {bright:.0f}, contrast {dull:.1f} … {vivid:.1f} gray levels"
    )
    clipped, (blurred, sharp) = frames.clipped[1], frames.sharpness
    yield _line("", f"clipped pixels up to {clipped:.1%}, sharpness {blurred:.3f} … {sharp:.3f}")


def _line(label: str, text: str) -> str:
    return f"  {label:<11}  {text}"


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Keys with dots and values as JSON, so that a nested dictionary reads as lines."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", jsontext.dumps(value)
