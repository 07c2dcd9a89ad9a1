"""Many files to the pixels that a model takes: decoded ahead by threads, in order, at constant memory."""

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from onlygood.runtime.ahead import map_ahead
from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.reader import LoadedImage, ReadOptions, load_image
from onlygood.runtime.images.spec import InputSpec


@dataclass(frozen=True)
class ReadImage:
    """One file after reading: an image, or the reason why there is none."""

    path: Path
    image: LoadedImage | ImageError


def read_images(
    paths: Iterable[Path], spec: InputSpec, options: ReadOptions, *, workers: int
) -> Generator[ReadImage, None, None]:
    """Read each file, in the order of ``paths``; an unreadable one is given with its reason."""
    return map_ahead(partial(_read, spec=spec, options=options), paths, workers=workers)


def _read(path: Path, spec: InputSpec, options: ReadOptions) -> ReadImage:
    try:
        return ReadImage(path, load_image(path, spec, options))
    except ImageError as error:
        return ReadImage(path, error)
