"""What the options of `score`, `check`, `watch` and `camera` say about judging."""

from collections.abc import Callable
from pathlib import Path

from onlygood.deploy.opening import opened
from onlygood.deploy.options.camera import CameraOptions
from onlygood.deploy.options.rows import ScoreOptions
from onlygood.deploy.options.watch import WatchOptions
from onlygood.deploy.use import Use
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import printable
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.model import calibration
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.modelfile import ModelFile
from onlygood.runtime.model.rewrite import graph_sha256
from onlygood.runtime.rows.drift import Monitor
from onlygood.runtime.rows.parts import Parts
from onlygood.runtime.threads import available_cpus


def open_model(
    options: ScoreOptions | WatchOptions | CameraOptions, say: Callable[[str], None]
) -> tuple[Detector, Use]:
    """The model, and how it is run: as was typed, else as ``--tuned`` found best, else plainly.

    ``say`` is told where that was found on another machine.

    Raises:
        OnlygoodError: the model is refused, or what was found was not found with it.
    """
    file = opened(options)
    best = Use(workers=available_cpus()) if options.tuned is None else _best(options.tuned, file, say)
    use = Use(
        workers=(None if isinstance(options, CameraOptions) else options.workers) or best.workers,
        threads=options.threads or best.threads,
        provider=options.provider or best.provider,
    )
    return Detector(file, threads=use.threads, provider=use.provider), use


def _best(path: Path, file: ModelFile, say: Callable[[str], None]) -> Use:
    """What `bench` found best for a model."""
    from onlygood.deploy.machine import Machine  # noqa: PLC0415 - nothing without --tuned
    from onlygood.deploy.tuned import Tuned  # noqa: PLC0415 - nothing without --tuned

    tuned = Tuned.read(path)
    if tuned.model.graph_sha256 != graph_sha256(file.data):
        raise OnlygoodError(
            f"--tuned: {printable(path)} was made with another model ({tuned.model.name!r}), and what is best"
            " for that need not be for this one: make one with `onlygood bench MODEL -o FILE`"
        )
    if differences := tuned.machine.differences(Machine.here()):
        say(
            f"--tuned was measured on another machine ({printable(differences)}): what is best there need not"
            " be here; `onlygood bench` tells"
        )
    return tuned.use


def chosen_threshold(detector: Detector, threshold: float | None, rate: float | None) -> float:
    """The score above which images are flagged.

    Raises:
        OnlygoodError: both are given, or the rate is not supported by the calibration.
    """
    if threshold is not None and rate is not None:
        raise OnlygoodError("give either --threshold or --max-false-alarms: each sets the same limit")
    return detector.threshold(rate) if threshold is None else threshold


def chosen_parts(
    detector: Detector, pattern: str | None, threshold: float | None, rate: float | None
) -> Parts | None:
    """What judges whole parts; None without a ``pattern``.

    Raises:
        OnlygoodError: the calibration names no parts, or too few for the rate.
    """
    if pattern is None:
        return None
    held_out = detector.metadata.calibration
    if held_out.groups is None:
        raise OnlygoodError(
            "--parts: the model knows no parts, so it has no limit for them: name them to `onlygood fit` or "
            "`onlygood calibrate` with --groups, or in the list"
        )
    maxima = calibration.part_maxima(detector.calibration, held_out.groups)
    if threshold is None:
        threshold = calibration.threshold(maxima, held_out.max_false_alarms if rate is None else rate)
    return Parts(pattern, maxima, threshold)


def input_spec(detector: Detector, bit_depth: int | None) -> InputSpec:
    """How images are read: as the model says, or with another bit depth.

    Raises:
        OnlygoodError: there is no such bit depth.
    """
    spec = detector.metadata.input
    if bit_depth is None:
        return spec
    return InputSpec.parse(spec.model_dump() | {"bit_depth": bit_depth}, "--bit-depth")


def drift_monitor(
    detector: Detector, threshold: float, flagged: float, say: Callable[[str], None]
) -> Monitor:
    """What looks for drift; says for what it cannot stand."""
    metadata = detector.metadata
    if metadata.appearance is None:
        say(
            "the model file is of an older onlygood and does not tell what its calibration images look like:"
            " light, lens and position are compared with the first images (calibrate it anew for more)"
        )
    if metadata.calibration.groups is not None:
        say(
            "the calibration counts parts, and the test of drift counts images: where a part is seen several"
            " times, it may call it a change more often than stated"
        )
    return Monitor(metadata, threshold, flagged=flagged)
