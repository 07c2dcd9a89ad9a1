"""Keep what decoders print for programmers off the user's terminal."""

import contextlib
import ctypes
import importlib.util
import logging
import warnings
from pathlib import Path


def silence_decoders() -> None:
    """Stop Pillow and libtiff from printing: the row of a file already says what is wrong with it.

    Only for the process of the command line: a library must not change its host's warnings. libtiff writes
    to file descriptor 2 itself, from any thread, and Pillow has no option against it. So libtiff's error
    handler is removed if the linker finds it. Pillow is not imported for this, since not every command
    needs it.
    """
    warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
    if not (logger := logging.getLogger("PIL")).handlers:
        logger.addHandler(logging.NullHandler())
    found = importlib.util.find_spec("PIL")
    for folder in found.submodule_search_locations or () if found else ():
        for library in Path(folder).glob("_imaging.*"):
            with contextlib.suppress(OSError, AttributeError):
                ctypes.CDLL(str(library)).TIFFSetErrorHandler(None)
