"""Where decoded images are kept, also for a user without a home, as containers and services have them."""

import os
import stat
import tempfile
from pathlib import Path
from typing import NamedTuple

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display

REMEDY = "set ONLYGOOD_CACHE to a folder with room for it"


class CacheFolder(NamedTuple):
    """The folder of all caches, and what a person should know of it."""

    path: Path
    note: str = ""


def find_cache() -> CacheFolder:
    """``$ONLYGOOD_CACHE``, else ``onlygood`` under ``$XDG_CACHE_HOME`` or ``~/.cache``.

    Where there is no home, or nothing can be written in it, a folder of this user's own among the temporary
    files stands in, and the note says so.

    Raises:
        OnlygoodError: there is no place for temporary files, or somebody else has taken ours.
    """
    if own := os.environ.get("ONLYGOOD_CACHE"):
        return CacheFolder(Path(own))
    if base := os.environ.get("XDG_CACHE_HOME"):
        return CacheFolder(Path(base) / "onlygood")
    try:
        home = Path.home()
    except RuntimeError:  # no HOME, and no entry in the list of users
        return _temporary("there is no home folder")
    wanted = home / ".cache" / "onlygood"
    if not _writable(wanted):
        return _temporary(f"{display(wanted)} cannot be written")
    return CacheFolder(wanted)


def _writable(folder: Path) -> bool:
    """Whether the folder, or the nearest above it that exists, takes files of ours."""
    there = next((place for place in (folder, *folder.parents) if place.exists()), folder)
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _temporary(reason: str) -> CacheFolder:
    """A folder that nobody else can write: what lies in it is trusted as pixels."""
    try:
        folder = Path(tempfile.gettempdir()) / f"onlygood-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise OnlygoodError(
            f"{reason}, and neither can temporary files ({error.strerror}): {REMEDY}"
        ) from error
    if not _ours_alone(status):
        raise OnlygoodError(f"{reason}, and others can write {display(folder)}: {REMEDY}")
    return CacheFolder(
        folder, f"{reason}: decoded images are kept in {display(folder)}; ONLYGOOD_CACHE names a better place"
    )


def _ours_alone(status: os.stat_result) -> bool:
    if not stat.S_ISDIR(status.st_mode):  # a link, perhaps
        return False
    if not hasattr(os, "getuid"):
        return True
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
