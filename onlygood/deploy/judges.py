"""Who judges the images of `score` and `check`: one model, here or on Ray."""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onlygood.deploy.heatmaps import SIDE, Boxes, Heatmaps
from onlygood.deploy.judging import chosen_parts, chosen_threshold, drift_monitor, input_spec, open_model
from onlygood.deploy.messages import Messages
from onlygood.deploy.options.rows import ScoreOptions
from onlygood.deploy.options.shared import Engine
from onlygood.deploy.terminal import Thumbnails, deep_color
from onlygood.deploy.tiling import chosen_area, chosen_limits, chosen_tiling, in_words
from onlygood.deploy.use import Use
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.area import Area
from onlygood.runtime.images.memory import Budget
from onlygood.runtime.images.reader import DEFAULT_MAX_PIXELS, ReadOptions
from onlygood.runtime.images.remote import Place
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.rows.drift import Monitor, look_at
from onlygood.runtime.rows.parts import Parts
from onlygood.runtime.rows.stream import Also, score_images
from onlygood.runtime.rows.tiles import Tiling, score_tiled
from onlygood.runtime.rows.verdicts import Row, Settings, Status

_NO_PEAKS = (
    "the model file holds no peaks of heatmaps: nothing is promised of how often good images show"
    " a region; fit it again for that"
)

Rows = Generator[Row, None, None]


@dataclass(frozen=True)
class Judges:
    """Who judges images: one model, or for each image its own."""

    rows: Callable[[Iterable[Place]], Rows]  # in the order of the images
    settings: Settings | None  # of all rows; None where each has its own
    settings_of: Callable[[Place], Settings | None]
    lacks_heatmap: Callable[[Place, Status], bool]  # that an earlier run did not write
    parts: Parts | None = None
    monitor: Monitor | None = None
    lowest: float | None = None  # score of the calibration; None where each image has its own model


def one_model(options: ScoreOptions, say: Messages) -> Judges:
    """The model that was named.

    Raises:
        OnlygoodError: it is refused, or options do not go with it or with each other.
    """
    detector, use = open_model(options, say.note)
    tiling, area = chosen_tiling(detector, options), chosen_area(options)
    threshold = chosen_threshold(detector, options.threshold, options.max_false_alarms)
    parts = chosen_parts(detector, options.parts, options.threshold, options.max_false_alarms)
    spec = input_spec(detector, options.bit_depth)
    settings = Settings(
        detector.file.sha256[:12],
        threshold if parts is None else parts.threshold,
        spec.bit_depth,
        options.any_frame,
        None if tiling is None else in_words(tiling, area, detector, options),
    )
    at_once = f"{use.workers} images at once" if options.engine is Engine.LOCAL else "workers of Ray"
    say.detail(
        f"model {settings.model}, threshold {settings.threshold:.6g}, {use.provider}, {at_once} with"
        f" {use.threads} threads each"
    )
    monitor = None
    if options.drift:
        if tiling is not None:
            raise OnlygoodError("--drift and --tile do not go together: calibration images were seen whole")
        monitor = drift_monitor(detector, threshold, options.drift_flagged, say.note)
    looks, heatmaps = looks_of(detector, options)
    if (options.boxes or heatmaps) and detector.metadata.peaks is None:
        say.note(_NO_PEAKS)
    how: dict[str, Any] = {
        "spec": spec,
        "any_frame": options.any_frame,
        "also": [*looks, *([look_at] if monitor else [])],
        "preview": SIDE if heatmaps or options.preview else 0,
    }

    def rows(paths: Iterable[Place]) -> Rows:
        if options.engine is Engine.RAY:
            return _on_ray(detector, paths, options, use, threshold=threshold, say=say, how=how)
        return _here(detector, paths, options, use, threshold=threshold, tiling=tiling, area=area, how=how)

    return Judges(
        rows,
        settings,
        lambda _: settings,
        heatmaps.missing if heatmaps else lambda _path, _status: False,
        parts,
        monitor,
        float(detector.calibration[0]),
    )


def looks_of(detector: Detector, options: ScoreOptions) -> tuple[list[Also], Heatmaps | None]:
    """What is asked about images besides verdicts; their limit is at the rate, whatever --threshold says."""
    if not options.boxes and options.heatmaps is None and not options.preview:
        return [], None
    rate = options.max_false_alarms
    limit, heat = detector.heat_threshold(rate), detector.heat_range(rate)
    looks: list[Also] = [Boxes(limit, detector.inside)] if options.boxes else []
    if options.preview:
        looks.append(Thumbnails(heat, detector.inside, flagged_only=options.judge, deep=deep_color()))
    if options.heatmaps is None:
        return looks, None
    heatmaps = Heatmaps(
        options.heatmaps,
        heat,
        limit,
        inside=detector.inside,
        flagged_only=options.judge,
    )
    return [*looks, heatmaps], heatmaps


def reader_of(options: ScoreOptions) -> ReadOptions:
    """The limits of the reader."""
    return ReadOptions(options.max_pixels or DEFAULT_MAX_PIXELS, Budget.of(options.max_memory))


def _here(
    detector: Detector,
    paths: Iterable[Place],
    options: ScoreOptions,
    use: Use,
    *,
    threshold: float,
    tiling: Tiling | None,
    area: Area | None,
    how: dict[str, Any],
) -> Rows:
    """The rows, by threads of this process."""
    here: dict[str, Any] = {"options": reader_of(options), "workers": use.workers}
    if tiling is None:
        return score_images(detector, paths, threshold, **how, **here)
    limits = chosen_limits(detector, options)
    return score_tiled(detector, paths, limits, tiling=tiling, area=area, **how, **here)


def _on_ray(
    detector: Detector,
    paths: Iterable[Place],
    options: ScoreOptions,
    use: Use,
    *,
    threshold: float,
    say: Messages,
    how: dict[str, Any],
) -> Rows:
    """The same rows, by workers of Ray."""
    from onlygood.deploy.cluster import connected  # noqa: PLC0415 - nothing for one machine
    from onlygood.deploy.ray import Work, score_on_ray  # noqa: PLC0415 - nothing for one machine

    work = Work(
        detector.file,
        threshold,
        max_pixels=options.max_pixels or DEFAULT_MAX_PIXELS,
        max_memory=options.max_memory,
        threads=use.threads,
        provider=use.provider,
        folder=str(Path.cwd()),
        writes=options.heatmaps,
        **how,
    )
    cpus = None if options.workers is None else options.workers * use.threads
    with (
        connected(options.ray_address, cpus) as ray,
        closing(score_on_ray(ray, work, paths, workers=options.workers, say=say.note)) as rows,
    ):
        yield from rows
