"""The examination of the data, before any network."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from onlygood.anomaly.data.attention import Attention
from onlygood.anomaly.data.samples import Dataset
from onlygood.anomaly.doctor.files import examine_files
from onlygood.anomaly.doctor.findings import Finding, Level, Material
from onlygood.anomaly.doctor.frames import examine_frames
from onlygood.anomaly.doctor.likeness import examine_likeness
from onlygood.anomaly.doctor.pose import examine_pose
from onlygood.anomaly.parts import choose_parts
from onlygood.anomaly.plan import DEFAULT_RATE
from onlygood.anomaly.recipe import Recipe
from onlygood.pretrain.data.plan import plan_input
from onlygood.pretrain.data.store import ImageStore, survey_images
from onlygood.runtime.errors import ImageError, OnlygoodError
from onlygood.runtime.images.reader import Header, read_header
from onlygood.runtime.model.calibration import minimum_n


def gather_material(
    recipe: Recipe, good: Dataset, *, attention: Attention | None = None, progress: bool = False
) -> Material:
    """Read what `fit` would read, and blank what ``attention`` leaves out.

    Raises:
        OnlygoodError: no image can be read, or a mask does not fit.
    """
    paths = [sample.path for sample in good.samples]
    tile, stride = recipe.grid()
    survey = survey_images(paths, progress=progress)
    spec, words = plan_input(recipe.input, survey, tile=tile, stride=stride)
    inside = (attention or Attention()).inside(spec, survey.median_width, survey.median_height)
    headers = {path: header for path in paths if (header := _header(path)) is not None}
    store = ImageStore.build(paths, spec, progress=progress)
    store.look_at(inside)
    return Material(good, recipe, headers, store, words)


def _header(path: Path) -> Header | None:
    try:
        return read_header(path)
    except ImageError:
        return None


def examine_data(material: Material, rate: float | None = None) -> Iterator[Finding]:
    """Findings about the images, for a detector of at most ``rate`` false alarms."""
    sides, few = _split(material, rate)
    yield from examine_files(material)
    yield from few
    yield from examine_frames(material)
    yield from examine_likeness(material, sides)
    yield from examine_pose(material)


def _split(material: Material, rate: float | None) -> tuple[dict[int, str], list[Finding]]:
    """Where `fit` would put each image, and what it would say of their number."""
    wish = rate if rate is not None else material.recipe.calibration.max_false_alarms
    try:
        with TemporaryDirectory() as work:
            parts = choose_parts(
                material.recipe,
                material.good,
                material.store,
                Path(work),
                rate=rate,
                resume=False,
                say=lambda _: None,
            )
    except OnlygoodError as error:
        return {}, [_too_few("problem", str(error))]
    sides, held_out = parts.sides(), parts.groups()
    target = wish or DEFAULT_RATE
    count = len(parts.calibration) if held_out is None else len(set(held_out))
    unit = "images" if held_out is None else "parts"
    if parts.rate > target:
        seen = f"{count} {unit} can be held out; {target:g} false alarms need {minimum_n(target, 2)}, so fit "
        return sides, [_too_few("note", f"{seen}would promise {parts.rate:.3g}")]
    if count < minimum_n(target, 2):
        seen = f"at {target:g} false alarms the threshold would hang on one of {count} {unit} held out"
        return sides, [_too_few("warning", seen)]
    return sides, []


def _too_few(level: Level, seen: str) -> Finding:
    return Finding(
        "too few images",
        level,
        seen,
        "a promise about one good image in a hundred needs more than a hundred that are held out; where the "
        "threshold hangs on a single image, that one must be good",
        "take more good images of more parts, or ask for a higher --max-false-alarms",
    )
