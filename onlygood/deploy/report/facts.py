"""What a model file says of itself, in words for people: what it is, learned from, and promises."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from onlygood.deploy.suspicion import suspicion
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display
from onlygood.runtime.model.calibration import achieved_interval, rank, smallest_alpha
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.metadata import Calibration, Metadata

_LONGEST = 200  # characters of a name in a heading


def product_of(metadata: Metadata, path: Path) -> str:
    """What the model is for: the name of the folder that it learned from, else of its file; or its recipe."""
    told, own = metadata.provenance.get("product"), display(path.stem)
    if isinstance(told, str) and told:
        return told[:_LONGEST]
    return own if own not in ("", "model") else metadata.name


def what_it_is(detector: Detector, rate: float) -> str:
    """One sentence: the recipe, from how many images the model learned, and what it promises."""
    metadata, held_out = detector.metadata, detector.metadata.calibration
    unit = "images" if held_out.groups is None else "parts"
    learned = _count(_mapping(metadata.provenance.get("images")).get("train"), "good images")
    others = f"{held_out.parts():,} good {unit}" + " held out" * bool(learned)
    return (
        f"Recipe {metadata.name}{learned and f', learned from {learned}'}, calibrated on {others}: "
        f"flags at most {100 * rate:.3g} % of new good {unit}."
    )


def model_facts(detector: Detector) -> list[tuple[str, str]]:
    """Labels and values of the model, of which a file from elsewhere may lack some."""
    return [(label, value) for label, value in _facts(detector) if value]


def _facts(detector: Detector) -> Iterator[tuple[str, str]]:
    metadata, file = detector.metadata, detector.file
    spec, recipe, provenance = metadata.input, metadata.recipe, metadata.provenance
    images, training = (_mapping(provenance.get(key)) for key in ("images", "training"))
    yield "Recipe", f"{metadata.name}: {recipe['description']}" if "description" in recipe else metadata.name
    yield "Pretext task", str(_mapping(recipe.get("task")).get("name", ""))
    yield "Encoder", str(recipe.get("encoder", ""))
    color = "color" if spec.channels == 3 else "gray"
    yield "Looks at", f"{spec.width} × {spec.height} pixels, {color}, {_RESIZE[spec.resize]}"
    yield "Heatmap", f"{metadata.heatmap[1]} × {metadata.heatmap[0]} cells"
    yield "Trained on", _count(images.get("train"), "good images")
    yield "Held out to calibrate", _count(images.get("calibration"), "good images")
    yield "Could not be read in training", _count(images.get("bad") or None, "images")
    yield "Training", _trained(training)
    yield "Made", f"{provenance.get('created', '')} by onlygood {provenance.get('onlygood', '')}".strip(" by")
    yield "Seed", str(provenance.get("seed", ""))
    yield "File", f"{len(file.data):,} bytes, SHA-256 {file.sha256}"


_RESIZE = {
    "stretch": "the whole image, stretched",
    "pad": "the whole image, on a plain canvas",
    "crop": "the middle of the image",
}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(value: Any, noun: str) -> str:
    return f"{value:,} {noun}" if isinstance(value, int) else ""


def _trained(training: Mapping[str, Any]) -> str:
    steps, seconds = training.get("steps"), training.get("seconds")
    if not isinstance(steps, int):
        return ""
    if not isinstance(seconds, int | float):
        return f"{steps:,} steps"
    return f"{steps:,} steps in {seconds / 60:.1f} min on {training.get('device', 'one device')}"


def promise_words(held_out: Calibration, rate: float) -> list[str]:
    """Sentences on what is promised, to whom, and how sure it is."""
    parts, unit = held_out.parts(), "images" if held_out.groups is None else "parts"
    low, _, high = achieved_interval(parts, rate)
    lines = [
        f"At most {100 * rate:.3g} % of new good {unit} are flagged: {parts} good {unit} that the model "
        f"never saw put the true rate between {low:.2%} and {high:.2%}, with 95 % confidence.",
        f"The smallest rate that {parts} {unit} allow is {100 * smallest_alpha(parts):.3g} %.",
    ]
    if rank(parts, rate) == 1:
        lines.append(f"The threshold hangs on one {unit[:-1]}, the one with the largest score.")
    if held_out.groups is None:
        lines.append(
            "It holds for images like these, each as a part of its own; if they show parts several times, "
            "for the same parts, and not for new ones."
        )
    else:
        lines.append(f"It holds for new parts: {len(held_out.scores)} images of {parts} parts were held out.")
    return lines


def remarks(detector: Detector) -> list[str]:
    """What to know of the model before trusting it: suspects, frames, warnings of the training."""
    metadata = detector.metadata
    lines = [f"Warning of the training: {text}" for text in _warnings(metadata.provenance)]
    if metadata.suspects:
        lines.append(f"{len(metadata.suspects)} images given as good have scores far outside the others'.")
    try:
        lines += suspicion(metadata)
    except OnlygoodError as error:  # a rate that the file's own scores do not allow
        lines.append(str(error))
    if metadata.frames is None:
        lines.append("The file says nothing of frames: a covered lens may pass as good.")
    return lines


def _warnings(provenance: Mapping[str, Any]) -> list[str]:
    found = _mapping(provenance.get("training")).get("warnings")
    return [str(text) for text in found] if isinstance(found, list) else []
