"""Which images a URL, an archive or a table holds."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.far.archives import is_archive, members
from onlygood.runtime.far.tables import is_table, table_rows
from onlygood.runtime.images.files import IMAGE_SUFFIXES, OUTPUT_MARKER, Findings, display, find_images
from onlygood.runtime.images.remote import (
    Place,
    Remote,
    filesystem,
    looks_far,
    reason,
    url_of,
    without_secrets,
)

_MAGIC = set("*?[")


def find_far(
    path: Path, *, recursive: bool = True, exclude: Iterable[str] = (), findings: Findings | None = None
) -> Iterator[Place]:
    """The images of a URL, an archive or a table, each folder in the order of its names.

    ``s3://bucket/folder`` is a folder, ``s3://bucket/*.tar`` what the glob matches, ``….tar`` and ``….zip``
    what they hold, ``….parquet`` a row each, ``file://`` as any other store; the rest are images. What
    archives hold is read in their order, once.

    Raises:
        OnlygoodError: it cannot be listed or opened, or needs a package that is not there.
    """
    findings = findings or Findings()
    url = url_of(path) or str(path.resolve())
    name = without_secrets(url) if url_of(path) else display(path)
    try:
        nothing = True
        for image in _Walk(recursive, tuple(exclude), findings).found(url, name):
            nothing = False
            yield image
    except OnlygoodError:
        raise
    except ImportError as error:
        raise OnlygoodError(f"{name}: {_remedy(error)}") from None
    except Exception as error:  # of whatever store and library is behind the URL
        raise OnlygoodError(f"{name}: cannot be read: {reason(error)}") from error
    if nothing:
        findings.empty.append(Path(name))


def _remedy(error: ImportError) -> str:
    if error.name in ("fsspec", "s3fs", "pyarrow", "pyarrow.parquet", "aiohttp", None):
        package = "" if error.name else f" ({error})"
        return f"needs an extra: pip install 'onlygood[cloud]'{package}"
    return f"needs the package {error.name!r}, which is not installed"


@dataclass(frozen=True)
class _Walk:
    recursive: bool
    exclude: tuple[str, ...]
    findings: Findings

    def found(self, url: str, name: str) -> Iterator[Place]:
        """The images that a URL leads to."""
        if "://" not in url:  # a file of this machine, without fsspec
            yield from self._inside(url, Path(url))
            return
        if (
            url.split("://", 1)[0] in ("tar", "zip") and "::" in url
        ):  # one member, or those of a folder, as rows have it
            inner, _, outer = url.partition("::")
            wanted = inner.split("://", 1)[1].strip("/")
            for image in self.found(outer, name):
                member = os.fspath(image).partition("::")[0].split("://", 1)[1]
                if member == wanted or member.startswith(wanted + "/") or not wanted:
                    yield image
            return
        if url.startswith("file://"):
            yield from self._here(Path(unquote(urlsplit(url).path)))
            return
        system, path = filesystem(url)
        if _MAGIC & set(path):
            listed = sorted(system.glob(path, detail=True).items())
            if not listed:
                raise OnlygoodError(f"{name}: nothing matches")
            for found, info in listed:
                if not PurePosixPath(found).name.startswith("."):
                    yield from self._entry(system, found, info, into=PurePosixPath(found).name)
            return
        web = url.startswith(("http://", "https://"))  # whose folders cannot be listed with any certainty
        if web and not (is_archive(path.partition("?")[0]) or is_table(path.partition("?")[0])):
            yield Remote(url, below=PurePosixPath(path.partition("?")[0]).name)
            return
        yield from self._entry(system, path, {"type": "file"} if web else system.info(path))

    def _entry(self, system: Any, path: str, info: dict[str, Any], into: str = "") -> Iterator[Remote]:
        """What a path in a store is or holds; of several that a glob matched, each goes into its own name."""
        if info["type"] == "directory":
            for image in self._folder(system, path, ""):
                yield replace(image, below=f"{into}/{image.below}")
        elif is_archive(path.partition("?")[0]) or is_table(path.partition("?")[0]):
            with system.open(path, "rb") as file:
                for image in self._inside(_url(system, path), file):
                    yield replace(image, below=f"{into}/{image.below}")
        else:
            yield _remote(system, path, info, PurePosixPath(path).name)

    def _here(self, path: Path) -> Iterator[Place]:
        """What a path of this machine leads to."""
        if looks_far(path):
            yield from self._inside(str(path), path)
        else:
            yield from find_images(
                [path], recursive=self.recursive, exclude=self.exclude, findings=self.findings
            )

    def _inside(self, url: str, file: Any) -> Iterator[Remote]:
        """What an archive or a table holds; ``file`` is a path or an open file."""
        if is_table(without_secrets(url)):
            yield from table_rows(url, file)
            return
        for image in members(url, file, self.findings):
            inside = image.below
            parts = PurePosixPath(inside).parts
            hidden = any(map(_hidden, parts))
            out = any(fnmatchcase(text, glob) for text in (inside, *parts) for glob in self.exclude)
            if not hidden and not out and (self.recursive or len(parts) == 1):
                yield image

    def _folder(self, system: Any, path: str, below: str) -> Iterator[Remote]:
        """Images below a folder, one folder's names at a time in memory."""
        entries, unnamed = _listed(system, path)
        if below and any(name == OUTPUT_MARKER for name, _ in entries):
            self.findings.ours.append(Path(path))
            return
        for name, info in entries:
            inside = below + name
            if name.startswith(".") or any(
                fnmatchcase(text, glob) for text in (name, inside) for glob in self.exclude
            ):
                continue
            if info["type"] == "directory":
                if self.recursive:
                    yield from self._folder(system, info["name"], inside + "/")
            elif PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
                yield _remote(system, info["name"], info, inside)
            else:
                self.findings.other(PurePosixPath(name).suffix.lower())
        if unnamed and self.recursive:
            yield from self._unnamed(system, f"{path.rstrip('/')}//", below)

    def _unnamed(self, system: Any, prefix: str, below: str) -> Iterator[Remote]:
        """Images whose keys begin with ``prefix``, which ends with ``//``: no folder that can be listed."""
        for full, info in sorted(system.find(prefix, detail=True).items()):
            inside = below + full.removeprefix(prefix)
            parts = PurePosixPath(inside).parts
            out = any(fnmatchcase(text, glob) for text in (inside, *parts) for glob in self.exclude)
            if not full.startswith(prefix) or out or any(map(_hidden, parts)):
                continue
            if PurePosixPath(full).suffix.lower() in IMAGE_SUFFIXES:
                yield _remote(system, full, info, inside)


def _hidden(part: str) -> bool:
    return part == "__MACOSX" or (part.startswith(".") and part not in (".", ".."))


def _listed(system: Any, path: str) -> tuple[list[tuple[str, dict[str, Any]]], bool]:
    """Names and entries of a folder, and whether it holds a folder without a name: keys such as ``a//b.png``.

    It is without itself, which some stores list as an empty object.
    """
    found, own = system.ls(path, detail=True, refresh=True), path.rstrip("/")
    system.invalidate_cache(path)  # else it keeps the names of all folders, a kilobyte each
    entries = [(str(info["name"]).rstrip("/"), info) for info in found]
    named = [(PurePosixPath(full).name, info) for full, info in entries if full != own]
    unnamed = any(full == own and info["type"] == "directory" for full, info in entries)
    return sorted(named, key=itemgetter(0)), unnamed


def _remote(system: Any, path: str, info: dict[str, Any], below: str) -> Remote:
    size, changed = info.get("size"), info.get("LastModified", info.get("mtime", info.get("last_modified")))
    if isinstance(changed, datetime):
        changed = changed.timestamp()
    mtime = None if not isinstance(changed, int | float) else int(changed * 10**6) * 1000
    return Remote(_url(system, path), None if size is None else int(size), mtime, below=below)


def _url(system: Any, path: str) -> str:
    """The URL of a path in a store, by which it can be opened again."""
    return str(system.unstrip_protocol(path))
