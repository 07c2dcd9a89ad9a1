"""What `onlygood` says without a command: the next sensible one for the folder that one stands in."""

import os
import shlex
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from stat import S_ISDIR
from typing import NamedTuple

from onlygood.runtime.images.files import IMAGE_SUFFIXES, OUTPUT_MARKER, display

_MOST = 2000  # entries of a folder that are looked at
_DEPTH, _FOLDERS = 3, 200  # folders in folders, and how many of all are looked into
_GOOD = ("good", "ok", "normal", "train")  # names of folders that are most likely wanted, best first
_LEARNED = 20  # images, without which `fit` refuses
_WIDTH = 62  # characters of the commands' column


class Pictures(NamedTuple):
    """A folder, and how many images lie in it, counted up to a limit."""

    folder: Path
    images: int


def welcome(here: Path) -> str:
    """A few lines for a person who has typed nothing but the name."""
    models = sorted(Path(path.name) for path in _entries(here) if path.suffix == ".onnx")
    pictures = _best(here, learned=bool(models))
    if models:
        lines = _with_model(models[-1], pictures)
    elif pictures:
        good = _quoted(pictures.folder)
        lines = [
            (f"onlygood doctor {good}", "is anything wrong with these images?"),
            (f"onlygood fit {good} -o model.onnx", "learn what good looks like"),
            ("onlygood check model.onnx NEW_IMAGES", "then judge others"),
        ]
    else:
        lines = [
            ("onlygood demo demo", "see it work on rendered plates"),
            ("onlygood fit GOOD_IMAGES -o model.onnx", "learn from a folder of your own good images"),
            ("onlygood check model.onnx NEW_IMAGES", "then judge others"),
        ]
    found = _found(models, pictures)
    wide = min(_WIDTH, max(len(command) for command, _ in lines))
    return "\n".join(
        [
            "onlygood learns what good looks like from good images, and flags everything else.",
            "",
            f"{found} Next:",
            "",
            *(f"  {command:{wide}}  {why}" for command, why in lines),
            "",
            "All commands: onlygood --help",
        ]
    )


def _with_model(model: Path, pictures: Pictures | None) -> list[tuple[str, str]]:
    name, images = _quoted(model), _quoted(pictures.folder) if pictures else "NEW_IMAGES"
    return [
        (f"onlygood info {name}", "what it is, and what it promises"),
        (f"onlygood check {name} {images}", "print the anomalous ones"),
        (f"onlygood report {name} {images} -o report.html", "see the verdicts on one page"),
        (f"onlygood watch {name} INCOMING_FOLDER", "judge images as they come"),
    ]


def _found(models: list[Path], pictures: Pictures | None) -> str:
    if models:
        more = f" and {len(models) - 1} more" if len(models) > 1 else ""
        return f"Here is the model {display(models[-1])}{more}."
    if pictures:
        where = "this folder" if pictures.folder == Path() else display(pictures.folder)
        many = f"{_MOST} or more" if pictures.images >= _MOST else str(pictures.images)
        few = f" (at least {_LEARNED} good ones are needed)" if pictures.images < _LEARNED else ""
        return f"There are {many} images in {where}{few}."
    return "There are no images here."


def _best(here: Path, *, learned: bool) -> Pictures | None:
    """The folder of images that is most likely meant: by its name, else the one with the most images.

    What was ``learned`` from is not to be judged.
    """
    folders = islice(_folders(here), _FOLDERS)
    found = [pictures for folder in folders if (pictures := _counted(here, folder)).images]

    def rank(pictures: Pictures) -> int:
        name = pictures.folder.name.lower()
        return _GOOD.index(name) if name in _GOOD else len(_GOOD)

    if learned:
        found = [each for each in found if rank(each) == len(_GOOD) and each.folder != Path()]
    return min(found, key=lambda each: (rank(each), -each.images), default=None)


def _counted(here: Path, folder: Path) -> Pictures:
    count = sum(path.suffix.lower() in IMAGE_SUFFIXES for path in _entries(here / folder))
    return Pictures(folder, count)


def _folders(here: Path) -> Iterator[Path]:
    """``here`` and folders in it, as paths from it, but neither hidden ones nor what onlygood wrote.

    Links are followed after all that lies here itself, and no folder is visited twice.
    """
    visited: set[tuple[int, int]] = set()
    waiting, links = [Path()], list[Path]()
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop(0)
        try:
            status = (here / folder).stat()
            written = (here / folder / OUTPUT_MARKER).exists()
        except OSError:
            continue
        if not S_ISDIR(status.st_mode) or written or (status.st_dev, status.st_ino) in visited:
            continue
        visited.add((status.st_dev, status.st_ino))
        yield folder
        if len(folder.parts) < _DEPTH:
            inside = sorted(_entries(here / folder))
            shown = [path for path in inside if not path.name.startswith((".", "_"))]
            waiting += [folder / path.name for path in reversed(shown) if not path.is_symlink()]
            links += [folder / path.name for path in shown if path.is_symlink()]


def _entries(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in islice(entries, _MOST)]
    except OSError:
        return []


def _quoted(path: Path) -> str:
    """As a shell takes it."""
    return shlex.quote(display(path))
