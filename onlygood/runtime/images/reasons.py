"""Why an image cannot be read, in plain words: messages of decoders are written for programmers."""

from collections.abc import Iterator
from contextlib import contextmanager

from onlygood.runtime.errors import ImageError

# Parts of Pillow's messages that say more than that the file is damaged, and our words for them.
_SAID = (
    ("truncated", "a {name} file that is truncated"),
    ("not enough image data", "a {name} file that is truncated"),
    ("premature end", "a {name} file that is truncated"),
    ("reached eof", "a {name} file that is truncated"),
    ("buffer is not large enough", "a {name} file that is truncated"),
    ("checksum", "a damaged {name} file: a checksum does not match (bad header checksum or pixel data)"),
    ("-bit layers", "a {name} file of more than 8 bits a channel, which is not read; save it as PNG or TIFF"),
    ("-layer images", "a {name} file of an unusual number of channels, which is not read; save it as PNG"),
    ("unsupported bmp", "a {name} file of an unusual kind, which is not read; save it as PNG"),
    ("decompressed data too large", "a {name} file whose texts are too large, which no picture needs"),
    ("text chunks", "a {name} file whose texts are too large, which no picture needs"),
    ("exceeds limit", "a {name} file of more pixels than its header says"),
    ("decompression bomb", "a {name} file of more pixels than its header says"),
)


@contextmanager
def in_words(name: str, part: str) -> Iterator[None]:
    """Turn any exception of a decoder into an `ImageError`: damaged bytes can cause exceptions of any type.

    ``name`` is the format; ``part`` is what is being read, "header" or "pixels".

    Raises:
        ImageError: the block raised.
    """
    try:
        yield
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"a {name} file that needs more memory to decode than there is") from error
    except Exception as error:
        said = str(error).lower()
        words = next(
            (words for key, words in _SAID if key in said), "a damaged {name} file: its {part} cannot be read"
        )
        raise ImageError(words.format(name=name, part=part)) from error


@contextmanager
def file_errors() -> Iterator[None]:
    """Turn errors of the file system into an `ImageError`, without the path, which the caller adds.

    Raises:
        ImageError: "no such file or directory", "permission denied" and so on.
    """
    try:
        yield
    except OSError as error:
        raise ImageError((error.strerror or f"cannot be read: {error}").lower()) from error
    except ValueError as error:
        raise ImageError("a name that holds a null byte, which no file can have") from error
