"""Pictures that are cut out of videos, in a folder: it takes several videos, but each once."""

import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from PIL import Image

from onlygood.pretrain.progress import Bar
from onlygood.pretrain.video.frames import Frame, Frames
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display


class Picture(Protocol):
    """Pixels, and the index of the frame where they begin, counting those that could be read."""

    @property
    def start(self) -> int: ...  # noqa: D102

    @property
    def pixels(self) -> Frame: ...  # noqa: D102


def source_name(source: Path) -> str:
    """What the pictures of a video are named after."""
    return source.resolve().name if source.is_dir() else source.stem


def refuse_mixing(source: Path, out: Path, name: str, what: str) -> None:
    """Refuse to read and write one folder at once, and to mix pictures with those of an earlier run.

    Raises:
        OnlygoodError: so it would be; ``what`` names the pictures.
    """
    if out.exists() and not out.is_dir():
        raise OnlygoodError(f"{display(out)}: not a folder")
    if out.exists() and out.samefile(source):
        raise OnlygoodError(f"{display(out)}: the frames are here; name another folder for the {what}")
    ours = re.compile(re.escape(name) + r"-\d{6}-\d{6}\.png")
    if out.is_dir() and any(ours.fullmatch(path.name) for path in out.iterdir()):
        raise OnlygoodError(
            f"{display(out)}: holds {what} of {display(name)} already; remove them, or name another folder"
        )


def save_pictures(out: Path, name: str, pictures: Iterable[Picture]) -> int:
    """Write pictures as ``<name>-<start>-<number>.png`` into ``out``, all at the end; their number.

    Raises:
        OnlygoodError: ``out`` cannot be written.
    """
    written = 0
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=out) as folder:
            for written, picture in enumerate(pictures, 1):
                file = Path(folder) / f"{name}-{picture.start:06d}-{written:06d}.png"
                Image.fromarray(picture.pixels).save(file)
            for path in sorted(Path(folder).iterdir()):
                path.rename(out / path.name)
    except OSError as error:
        raise OnlygoodError(f"{display(out)}: cannot write: {error.strerror or error}") from error
    return written


def shown(frames: Frames, words: str, progress: bool) -> Iterator[Frame]:
    """The frames, with a bar on stderr if that is a terminal."""
    with Bar(words, frames.expected, shown=progress) as bar:
        for frame in frames:
            bar.advance(total=frames.expected)
            yield frame
