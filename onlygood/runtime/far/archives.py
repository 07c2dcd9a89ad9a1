"""Images in tar and zip archives; shards of WebDataset are such archives."""

import tarfile
import zipfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import PurePosixPath
from typing import IO, Any

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import IMAGE_SUFFIXES, Findings
from onlygood.runtime.images.remote import ARCHIVES, LARGEST, Remote, without_secrets


def is_archive(name: str) -> bool:
    """Whether a name is that of an archive."""
    return name.lower().endswith(ARCHIVES)


def members(url: str, file: Any, findings: Findings) -> Iterator[Remote]:
    """The images in an archive, in its order; ``file`` is a path or an open file.

    Raises:
        OnlygoodError: the archive is damaged; what came before was given.
    """
    try:
        if without_secrets(url).lower().endswith(".zip"):
            yield from _zipped(url, file, findings)
        else:
            yield from _tarred(url, file, findings)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise OnlygoodError(
            f"{without_secrets(url)}: a damaged archive, or none that can be read: {error}"
        ) from error


def _wanted(name: str, findings: Findings) -> bool:
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return True
    findings.other(suffix)
    return False


def _tarred(url: str, file: Any, findings: Findings) -> Iterator[Remote]:
    # As a stream: the members in their order, and nothing that must be sought.
    source: dict[str, Any] = (
        {"name": file, "mode": "r:*"} if not hasattr(file, "read") else {"fileobj": file, "mode": "r|*"}
    )
    with tarfile.open(**source) as archive:
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # else it keeps all of them
            if not member.isfile() or not _wanted(member.name, findings):
                continue
            stream = archive.extractfile(member)
            content = _content(stream, member.size)
            yield _image(url, member.name, member.size, int(member.mtime * 10**9), content)


def _zipped(url: str, file: Any, findings: Findings) -> Iterator[Remote]:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if member.is_dir() or not _wanted(member.filename, findings):
                continue
            try:
                changed = int(datetime(*member.date_time).timestamp() * 10**9)
            except (ValueError, OverflowError):  # a date that is none
                changed = None
            with archive.open(member) as stream:
                content = _content(stream, member.file_size)
            yield _image(url, member.filename, member.file_size, changed, content)


def _content(stream: IO[bytes] | None, size: int) -> bytes:
    """What a member holds; of one that is too large for any image nothing, which its reader then says."""
    if stream is None or size > LARGEST:
        return b""
    return stream.read(size)


def _image(url: str, name: str, size: int, changed: int | None, content: bytes) -> Remote:
    """An image of an archive, by a URL that fsspec can open too."""
    kind = "zip" if without_secrets(url).lower().endswith(".zip") else "tar"
    inside = name.removeprefix("./").lstrip("/")
    return Remote(f"{kind}://{inside}::{url}", size, changed, content, inside)
