"""Images that lie elsewhere, for commands that read them many times: a copy on this machine stands in."""

from collections.abc import Callable
from pathlib import Path

from onlygood.pretrain.data.cachedir import find_cache
from onlygood.runtime.images.remote import looks_far


def at_hand(source: Path, say: Callable[[str], None]) -> Path:
    """``source``, or a folder with the images of a URL, an archive or a table, kept in the cache.

    Raises:
        OnlygoodError: they cannot be had.
    """
    if not looks_far(source):
        return source
    from onlygood.runtime.far.copy import copy_of  # noqa: PLC0415 - nothing for files of this machine

    return copy_of(source, find_cache().path / "copies", say)
