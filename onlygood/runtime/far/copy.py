"""A copy of far images on this machine, for what reads them many times."""

import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from urllib.parse import unquote, urlsplit

from onlygood.runtime.ahead import map_ahead
from onlygood.runtime.atomic import write_atomically
from onlygood.runtime.errors import ImageError, OnlygoodError
from onlygood.runtime.far.find import find_far
from onlygood.runtime.images.files import Findings, display
from onlygood.runtime.images.formats import HEAD, format_of
from onlygood.runtime.images.remote import LARGEST, Place, Remote, looks_far, url_of, without_secrets

_AT_ONCE = 8


def copy_of(source: Path, below: Path, say: Callable[[str], None]) -> Path:
    """A folder below ``below`` that holds the images of a URL, an archive or a table, in their own folders.

    What is there already, with its size and time, is not fetched again; what is gone from the source goes.

    Raises:
        OnlygoodError: there is no image, or one cannot be had: who learns from a part should know.
    """
    url = url_of(source) or str(source.resolve())
    if url.startswith("file://") and not looks_far(here := Path(unquote(urlsplit(url).path))):
        return here
    name = without_secrets(url)
    key = blake2b(os.fsencode(url), digest_size=8).hexdigest()
    root = below / key / (_stem(name) or "images")
    findings, kept, count = Findings(), set[Path](), 0

    def fetch(image: Place) -> tuple[Path, bool]:
        if isinstance(image, Path):
            raise OnlygoodError(f"{name}: not a picture of a store, an archive or a table")
        target = root / _below(image)
        return target, _fetch(image, target)

    fetched = 0
    for target, new in map_ahead(fetch, find_far(source, findings=findings), workers=_AT_ONCE):
        if target in kept:
            raise OnlygoodError(f"{name}: two images would be {display(target.relative_to(root))} here")
        kept.add(target)
        count, fetched = count + 1, fetched + new
    if not count:
        raise OnlygoodError(
            f"{name}: no images in it{'; ' if findings.others else ''}{findings.left_alone()}"
        )
    for path in [path for path in root.rglob("*") if path.is_file() and path not in kept]:
        path.unlink()
    say(f"{name}: {count} images, {fetched} of them fetched into {display(root)}")
    return root


def _fetch(image: Remote, target: Path) -> bool:
    """Write one image, unless it is there; returns whether it was written."""
    if image.size is not None and image.mtime_ns is not None and target.is_file():
        stat = target.stat()
        if (stat.st_size, stat.st_mtime_ns) == (image.size, image.mtime_ns):
            return False
    try:
        content = image.read(LARGEST)
    except ImageError as error:
        raise OnlygoodError(f"{image}: {error}") from error
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, content, sweep=False)
    if image.mtime_ns is not None:
        os.utime(target, ns=(image.mtime_ns, image.mtime_ns))
    return True


def _below(image: Remote) -> Path:
    """The path of an image below its source, with nothing that leads out of it."""
    parts = [part for part in image.below.split("/") if part not in ("", ".", "..")]
    if image.url.startswith("parquet://"):
        parts[-1] += _suffix(image)
    return Path(*parts)


def _suffix(image: Remote) -> str:
    """The ending of a picture that has no name, by what it holds."""
    try:
        kind = format_of((image.content or b"")[:HEAD])
    except ImageError as error:
        raise OnlygoodError(f"{image}: {error}") from error
    return {"JPEG": ".jpg", "TIFF": ".tif", "JPEG 2000": ".jp2", "Netpbm": ".pnm"}.get(
        kind, f".{kind.lower()}"
    )


def _stem(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2].partition("*")[0].partition(".")[0]
