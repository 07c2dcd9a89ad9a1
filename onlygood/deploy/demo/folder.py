"""The demo's folder: whose it is, and what may be deleted in it."""

import json
import shutil
from pathlib import Path

from onlygood.deploy.demo.dataset import Counts, image_paths, mask_path
from onlygood.deploy.demo.defects import KINDS
from onlygood.runtime.errors import OnlygoodError

# Tells a folder that the demo made, with what seed and how many images, from any other.
MARKER = "onlygood-demo.json"


def prepare(directory: Path, seed: int, images: int) -> None:
    """Make ``directory`` ready for a demo; remove what an earlier demo left in it, and nothing else.

    Raises:
        OnlygoodError: something is there that no demo wrote.
    """
    marker = directory / MARKER
    if directory.exists() and not directory.is_dir():
        raise OnlygoodError(f"{directory} is a file; the demo needs a folder: give another name.")
    if marker.is_file():
        _refuse_strangers(directory / "data", marker)
        for name in ("data", "work", "report"):
            shutil.rmtree(directory / name, ignore_errors=True)
        for name in ("model.onnx", "scores.csv"):
            (directory / name).unlink(missing_ok=True)
    elif directory.is_dir() and any(directory.iterdir()):
        raise OnlygoodError(
            f"{directory} is not empty and not an earlier demo: give a folder that is new, e.g. "
            f"`onlygood demo {directory}/onlygood-demo`."
        )
    directory.mkdir(parents=True, exist_ok=True)
    marker.write_text(json.dumps({"seed": seed, "images": images}, allow_nan=False) + "\n", encoding="utf-8")


def _refuse_strangers(data: Path, marker: Path) -> None:
    """Leave ``data`` alone if it holds more than what the demo of ``marker`` wrote.

    Raises:
        OnlygoodError: a file there is somebody's own, or the marker cannot be read.
    """
    try:
        counts = Counts.for_training_images(int(json.loads(marker.read_text(encoding="utf-8"))["images"]))
    except (ValueError, KeyError, TypeError) as error:
        raise OnlygoodError(f"{marker} cannot be read ({error}): give the demo another folder.") from error
    ours = set(image_paths(data, counts))
    ours |= {mask_path(path) for path in ours if path.parent.name in KINDS}
    strangers = sorted(path for path in data.rglob("*") if not path.is_dir() and path not in ours)
    if strangers:
        raise OnlygoodError(
            f"{strangers[0]} was not made by the demo, and running it again would delete {data} "
            f"({len(strangers)} such file(s)): move your own images elsewhere, or give another folder."
        )
