"""An image that is no file of its own: an object in a store, a member of an archive, a row of a table."""

import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from onlygood.runtime.errors import ImageError

# A path has lost one of the two slashes.
_COLLAPSED = re.compile(r"(^|::)([a-z][a-z0-9+.-]+):/(?!/)")
_SECRET = re.compile(
    r"([a-z0-9_.-]*(?:token|key|sign|sig|secret|password|credential)[a-z0-9_.-]*=)[^&\s]+", re.I
)
LARGEST = 2**30  # bytes of an image that is kept in memory whole
_LONGEST = 300  # characters of a reason


@dataclass(frozen=True)
class Remote:
    """An image by its URL; what it holds is read when it is asked for, unless it came along."""

    url: str
    size: int | None = None  # bytes, where a listing tells
    mtime_ns: int | None = None
    content: bytes | None = field(default=None, repr=False, compare=False)
    below: str = ""  # its path below the folder or in the archive that was asked for

    def __fspath__(self) -> str:
        """The URL without user, password and query, in which secrets are: what rows call the image."""
        return without_secrets(self.url)

    def __str__(self) -> str:
        return self.__fspath__()

    @property
    def suffix(self) -> str:
        """The ending of the name, such as ".png"."""
        return PurePosixPath(self.__fspath__()).suffix

    @property
    def local(self) -> Path:
        """A relative path that no other image has, for what is written beside it."""
        parts = (quote(part, safe=" +,@=()[]{}#") for part in re.split("[/:]+", str(self)) if part)
        return Path(*("%2E%2E" if part == ".." else part for part in parts))

    def read(self, most: int) -> bytes:
        """What it holds.

        Raises:
            ImageError: it cannot be had, or it is larger than ``most`` bytes.
        """
        if self.size is not None and self.size > most:
            raise ImageError(f"larger than {most} bytes, which no image of this many pixels is")
        data = self.content if self.content is not None else _fetched(self.url, self.size, most)
        if len(data) > most:
            raise ImageError(f"larger than {most} bytes, which no image of this many pixels is")
        return data


Place = Path | Remote


ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
TABLES = (".parquet", ".pq")


def looks_far(path: Path) -> bool:
    """Whether a path that was typed leads elsewhere (a URL), or into an archive or a table here."""
    return url_of(path) is not None or (path.name.lower().endswith((*ARCHIVES, *TABLES)) and path.is_file())


def url_of(path: Path | str) -> str | None:
    """The URL that was typed, of which a path has swallowed a slash; None of a path."""
    text = str(path)
    if "://" in text:
        return text
    if _COLLAPSED.search(text) is None or Path(path).exists():
        return None
    return _COLLAPSED.sub(lambda found: f"{found[1]}{found[2]}:{'///' if found[2] == 'file' else '//'}", text)


def without_secrets(url: str) -> str:
    """A URL for people: without user, password, query and fragment of web addresses."""
    parts = url.split("::")
    return "::".join(map(_without_secrets, parts))


def _without_secrets(url: str) -> str:
    scheme, separator, _ = url.partition("://")
    if not separator:
        return url
    if scheme in ("http", "https"):
        split = urlsplit(url)
        host = split.netloc.rpartition("@")[2]
        return urlunsplit((split.scheme, host, split.path, "", ""))
    return re.sub(r"://[^/@]*:[^/@]*@", "://", url, count=1)


def reason(error: BaseException) -> str:
    """Why something far away cannot be had, in one line and without secrets."""
    if isinstance(error, FileNotFoundError):
        return "no such file or directory"
    if isinstance(error, PermissionError):
        return "permission denied: the store wants other credentials"
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"https?://\S+", lambda found: without_secrets(found[0]), text)
    return _SECRET.sub(r"\1…", text)[:_LONGEST]


def filesystem(url: str) -> tuple[Any, str]:
    """The file system of fsspec that a URL is in, and the path in it.

    Raises:
        ImportError: fsspec, or what it needs for this kind of URL, is not installed.
        ValueError: there is no such kind of URL.
    """
    import fsspec  # noqa: PLC0415 - an extra, and nothing for local files

    found: tuple[Any, str] = fsspec.core.url_to_fs(url)
    return found


def _fetched(url: str, size: int | None, most: int) -> bytes:
    """What is there, and no more of it than shows that it is too large."""
    try:
        system, path = filesystem(url)
        if size:  # was listed, so that the store need not be asked what it is: one request, not two
            data: bytes = system.cat_file(path, start=0, end=most + 1)
            return data
        with system.open(path, "rb", cache_type="none") as file:
            return b"".join(iter(partial(_more, file, [most + 1]), b""))
    except ImageError:
        raise
    except Exception as error:  # botocore's, aiohttp's and the file systems' own share no base
        raise ImageError(f"cannot be fetched: {reason(error)}") from error


def _more(file: Any, left: list[int]) -> bytes:
    piece: bytes = file.read(min(left[0], 1 << 24))
    left[0] -= len(piece)
    return piece
