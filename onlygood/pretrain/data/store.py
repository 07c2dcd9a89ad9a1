"""A folder of images, decoded once and kept as uint8 in a memory map.

The cache is a folder per data set, ``pixels.npy`` and ``index.json``, in the folder that ``cachedir.py``
finds. Its name is a hash of everything that the pixels depend on, files' sizes and
modification times included. Deleting it is always safe.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from onlygood.pretrain.data.cachedir import REMEDY, find_cache
from onlygood.pretrain.progress import Bar
from onlygood.runtime.ahead import map_ahead
from onlygood.runtime.errors import ImageError, OnlygoodError
from onlygood.runtime.images.area import blanked, runs_of
from onlygood.runtime.images.files import display
from onlygood.runtime.images.reader import (
    DEFAULTS,
    Header,
    ReadOptions,
    largest_value,
    load_image,
    read_bytes,
    read_header,
)
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.threads import available_cpus

CACHE_VERSION = 3  # raise it whenever the same files would give other pixels or another index
_AHEAD = 32  # images queued per worker, so that memory is constant and an interrupt is heard soon

HASH_DIGITS = 16  # of the SHA-256 of a training image's file and of its pixels, as the model file lists them
_GRAY_TOLERANCE = 4  # grey levels

Depth = Literal[8, 10, 12, 14, 16]  # bits, in ascending order

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True)
class _Entry:
    """What became of one file; row ``i`` of the pixels belongs to entry ``i``, good or bad."""

    path: str  # for people who read the index
    file_hash: str = ""  # SHA-256 of the file's content
    pixel_hash: str = ""  # and of the pixels as kept
    error: str = ""
    notes: tuple[str, ...] = ()


class Store(Protocol):
    """What the trainer needs of an ``ImageStore``."""

    fingerprint: str
    hashes: list[str]  # of the images, in their order

    def __len__(self) -> int: ...

    def batch(self, ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images ``ids`` ``(B,)``, uint8 ``(B, H, W, C)``."""
        ...


class ImageStore:
    """The readable images of a list of files, uint8 ``(n, H, W, C)``, in the list's order.

    Images whose pixels are equal as the model sees them are one image, however often and with whatever else
    in the file it was saved: they share their ``hashes``, which are the smallest of their files' hashes. So
    what is split by ``hashes`` does not depend on the model's size, unless there are copies.
    """

    def __init__(
        self, paths: Sequence[Path], spec: InputSpec, entries: Sequence[_Entry], pixels: NDArray[np.uint8]
    ) -> None:
        """Join the files, what became of each, and their pixels ``(len(paths), H, W, C)``; see `build`."""
        good = [row for row, entry in enumerate(entries) if not entry.error]
        self.spec = spec
        self.paths = [paths[row] for row in good]
        self.file_hashes = [entries[row].file_hash for row in good]
        self.pixel_hashes = [entries[row].pixel_hash for row in good]
        self.hashes = _one_name_each(self.file_hashes, self.pixel_hashes)
        self.bad = [(path, e.error) for path, e in zip(paths, entries, strict=True) if e.error]
        self.notes = [(path, note) for path, e in zip(paths, entries, strict=True) for note in e.notes]
        self.duplicates = _duplicates(self.paths, self.hashes)
        self.fingerprint = _sha256_json([sorted(self.file_hashes), spec.model_dump()])
        self._rows = np.array(good, dtype=np.int64)
        self._pixels = pixels
        self.inside: NDArray[np.bool_] | None = None  # (H, W), what counts of each image; None: all of it

    def look_at(self, inside: NDArray[np.bool_] | None) -> None:
        """Blank from now on what does not count of each image."""
        if inside is not None:
            self.inside = inside
            self.fingerprint = _sha256_json([self.fingerprint, runs_of(inside)])

    def __len__(self) -> int:
        return len(self.paths)

    def batch(self, ids: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """Copy the images ``ids`` (B,) into a new array ``(B, H, W, C)``."""
        return blanked(np.asarray(self._pixels[self._rows[ids]]), self.inside)

    @classmethod
    def build(
        cls,
        paths: Sequence[Path],
        spec: InputSpec,
        cache: Path | None = None,
        *,
        workers: int | None = None,
        progress: bool = True,
        options: ReadOptions = DEFAULTS,
    ) -> Self:
        """Open the store of these files, decoding them if no cache has them.

        Args:
            paths: the files, in the order that ids shall count them.
            spec: size, channels, resize policy and bit depth of the pixels kept.
            cache: folder of all caches, if it is not the user's own.
            workers: decoding threads; by default the CPUs that are ours.
            progress: show a bar on stderr, if that is a terminal.
            options: limits of the reader.

        Raises:
            OnlygoodError: no file is readable, or the cache cannot be written.
        """
        if not paths:
            raise OnlygoodError("no images: the list of files is empty")
        root = cache or find_cache().path
        home = root / _key(paths, spec, options)
        if found := _open_cache(home, paths, spec):
            return cls(paths, spec, *found)
        shutil.rmtree(home, ignore_errors=True)  # absent, or damaged
        try:
            root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="unfinished-", dir=root) as folder:
                unfinished = Path(folder)
                threads = workers or available_cpus()
                _decode_all(unfinished, paths, spec, options, workers=threads, progress=progress)
                _publish(unfinished, home)
        except OSError as error:
            raise OnlygoodError(
                f"cannot write the image cache under {display(root)}: {error.strerror or error}; {REMEDY}"
            ) from error
        if found := _open_cache(home, paths, spec):
            return cls(paths, spec, *found)
        raise OnlygoodError(f"the image cache {display(home)} was removed while being opened; run again")


# --- decoding


def _decode_all(
    folder: Path,
    paths: Sequence[Path],
    spec: InputSpec,
    options: ReadOptions,
    *,
    workers: int,
    progress: bool,
) -> None:
    """Fill ``folder`` with the pixels and the index; Pillow releases the GIL, so threads suffice."""
    shape = (len(paths), spec.height, spec.width, spec.channels)
    pixels = np.lib.format.open_memmap(folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape)
    _reserve(folder / "pixels.npy")

    def decode(row: int) -> _Entry:
        path = paths[row]
        try:
            data = read_bytes(path, options)
            image = load_image(data, spec, options)
        except ImageError as error:
            return _Entry(str(path), error=str(error))
        pixels[row] = image.pixels
        hashes = hashlib.sha256(data).hexdigest(), pixel_hash(image.pixels)
        return _Entry(str(path), *hashes, notes=image.notes)

    entries = list(_map(decode, range(len(paths)), workers, "decoding", progress))
    if all(entry.error for entry in entries):
        raise OnlygoodError(_nothing_readable([(paths[row], e.error) for row, e in enumerate(entries)]))
    pixels.flush()
    with (folder / "index.json").open("w", encoding="ascii") as file:  # escapes names that are not UTF-8
        json.dump([asdict(entry) for entry in entries], file, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())


def _map(
    function: Callable[[In], Out], items: Sequence[In], workers: int, title: str, progress: bool
) -> Iterator[Out]:
    """Apply ``function`` in threads, in order, with a bar on stderr if that is a terminal."""
    with Bar(title, len(items), shown=progress and bool(items)) as bar:
        for result in map_ahead(function, items, workers=workers, ahead=_AHEAD * workers):
            bar.advance()
            yield result


def _nothing_readable(bad: Sequence[tuple[Path, str]]) -> str:
    first = "; ".join(f"{display(path)}: {reason}" for path, reason in bad[:3])
    return f"none of the {len(bad)} images can be read; the first reasons are: {first}"


# --- the cache


def _key(paths: Sequence[Path], spec: InputSpec, options: ReadOptions) -> str:
    """Name of the cache of these files as they are now, seen through this spec."""
    files = [(str(path.absolute()), *_version(path)) for path in paths]
    return _sha256_json([CACHE_VERSION, spec.model_dump(), options.max_pixels, files])[:32]


def _version(path: Path) -> tuple[int, int]:
    """Size and modification time in ns; (-1, -1) of a file that cannot be asked."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return (-1, -1)
    return (status.st_size, status.st_mtime_ns)


def _sha256_json(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode("ascii")).hexdigest()


def _reserve(file: Path) -> None:
    """Claim the disk space now, as an error; a memory map that finds the disk full dies by SIGBUS."""
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)


def _publish(folder: Path, home: Path) -> None:
    """Rename the finished folder; a process that was faster has published the same, which may stay."""
    try:
        folder.rename(home)
    except OSError:
        if not home.is_dir():
            raise


def _open_cache(
    home: Path, paths: Sequence[Path], spec: InputSpec
) -> tuple[list[_Entry], NDArray[np.uint8]] | None:
    """Index and pixels, or None if they are absent or damaged."""
    try:
        rows = json.loads((home / "index.json").read_text("ascii"))
        entries = [_Entry(**{**row, "notes": tuple(row["notes"])}) for row in rows]
        pixels = np.load(home / "pixels.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    whole = pixels.shape == (len(paths), spec.height, spec.width, spec.channels) and pixels.dtype == np.uint8
    return (entries, pixels) if whole and len(entries) == len(paths) else None


def pixel_hash(pixels: NDArray[np.uint8]) -> str:
    """SHA-256 of one image as the model sees it, ``(H, W, C)``: of copies that were saved anew too."""
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def _one_name_each(file_hashes: Sequence[str], pixel_hashes: Sequence[str]) -> list[str]:
    """For each image the smallest of the hashes of all files that hold the same pixels."""
    smallest: dict[str, str] = {}
    for name, pixels in zip(file_hashes, pixel_hashes, strict=True):
        smallest[pixels] = min(name, smallest.get(pixels, name))
    return [smallest[pixels] for pixels in pixel_hashes]


def _duplicates(paths: Sequence[Path], hashes: Sequence[str]) -> list[list[Path]]:
    """Groups of files that hold the same image, in the files' order."""
    groups = defaultdict(list)
    for path, digest in zip(paths, hashes, strict=True):
        groups[digest].append(path)
    return [group for group in groups.values() if len(group) > 1]


# --- what a folder holds, before a spec is chosen


@dataclass(frozen=True)
class Survey:
    """What a list of images is like; sizes in pixels."""

    sizes: tuple[tuple[int, int], ...]  # width and height of each readable image
    gray: bool  # no colour, whatever the channels are called
    sixteen_bit: bool  # some file has more than 8 bits a channel
    largest: int | None = None  # value of these: by the files' own word, or else of a sample of them
    declared: bool = False  # all of these say their own largest value

    @property
    def median_width(self) -> int:
        """Half of the images are at most so wide."""
        return int(np.median([width for width, _ in self.sizes]))

    @property
    def median_height(self) -> int:
        """Half of the images are at most so high."""
        return int(np.median([height for _, height in self.sizes]))

    @property
    def bit_depth(self) -> Depth:
        """The least depth that holds all values of files of more than 8 bits; 16 where none are known."""
        largest = self.largest or 0xFFFF
        return next(depth for depth in get_args(Depth) if largest < 1 << depth)

    def other_shapes(self, width: int, height: int, factor: float) -> float:
        """The share of images whose width over height differs from this one by more than ``factor``."""
        ratios = np.array([w / h for w, h in self.sizes]) * height / width
        return float(np.mean(np.maximum(ratios, 1 / ratios) > factor))


def survey_images(paths: Sequence[Path], sample: int = 64, progress: bool = True) -> Survey:
    """Read every header, and decode two samples of files, each spread over the list.

    Are colour files grey in truth? And how far do files of more than 8 bits go that do not say it?

    Raises:
        OnlygoodError: no header is readable.
    """
    seen = list(_map(_header, paths, available_cpus(), "looking", progress))
    headers = [header for header in seen if isinstance(header, Header)]
    if not headers:
        bad = [(path, str(reason)) for path, reason in zip(paths, seen, strict=True)]
        raise OnlygoodError(_nothing_readable(bad) if bad else "no images: the list of files is empty")
    readable = [(path, h) for path, h in zip(paths, seen, strict=True) if isinstance(h, Header)]
    deep = [(path, header) for path, header in readable if header.sixteen_bit]
    silent = _spread([path for path, header in deep if header.white is None], sample)
    measured = _map(_largest, silent, available_cpus(), "measuring", progress)
    values = [header.white for _, header in deep if header.white is not None]
    probe = Survey(
        sizes=tuple((header.width, header.height) for header in headers),
        gray=False,
        sixteen_bit=bool(deep),
        largest=max([*values, *measured], default=None) if deep else None,
        declared=bool(deep) and not silent,
    )
    view = InputSpec(height=256, width=256, channels=3, bit_depth=probe.bit_depth)
    color = _spread([path for path, header in readable if not header.gray], sample)
    gray = _map(lambda path: _is_gray(path, view), color, available_cpus(), "sampling", progress)
    return replace(probe, gray=all(gray))


def _spread(paths: list[Path], sample: int) -> list[Path]:
    """So many of the paths, evenly."""
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(sample, len(paths))).astype(int))
    return [paths[i] for i in chosen]


def _largest(path: Path) -> int:
    """The largest value of a file of more than 8 bits; 0 of one that cannot be read."""
    try:
        return largest_value(path, InputSpec(height=256, width=256, channels=1)) or 0
    except ImageError:
        return 0


def _header(path: Path) -> Header | ImageError:
    try:
        return read_header(path)
    except ImageError as error:
        return error


def _is_gray(path: Path, view: InputSpec) -> bool:
    """Whether no pixel's channels differ by more than a JPEG's rounding; an unreadable file has no colour."""
    try:
        pixels = load_image(path, view).pixels
    except ImageError:
        return True
    return int(np.ptp(pixels, axis=2).max()) <= _GRAY_TOLERANCE
