"""Keep what decoders print for programmers off the user's terminal."""

import contextlib
import ctypes
import importlib.util
import logging
import warnings
from pathlib import Path


def silence_decoders() -> None:
    """Have Pillow and libtiff print nothing: what is wrong with a file stands in its reason.

    For the process that the command line owns; a library leaves its host's warnings alone. libtiff writes to
    file descriptor 2 by itself, from any thread, and Pillow offers no way to tell it; its own handler is
    taken away where the linker finds it. Pillow itself is not imported for it, since not every command needs
    it.
    """
    warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
    if not (logger := logging.getLogger("PIL")).handlers:
        logger.addHandler(logging.NullHandler())
    found = importlib.util.find_spec("PIL")
    for folder in found.submodule_search_locations or () if found else ():
        for library in Path(folder).glob("_imaging.*"):
            with contextlib.suppress(OSError, AttributeError):
                ctypes.CDLL(str(library)).TIFFSetErrorHandler(None)
