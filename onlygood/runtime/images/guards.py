"""Checks on files before a decoder sees them: a file that would cost far more than its pixels is refused.

Pillow's plugins loop over the parts of a file in Python, and some codecs visit all pixels once for each scan.
A small file can keep either busy for minutes. Each check reads lengths and skips contents; each raises
ImageError if a limit is exceeded.
"""

import struct
from typing import IO

from onlygood.runtime.errors import ImageError

MAX_PARTS = 200_000  # chunks, blocks and segments of a file
MAX_SCANS = 100  # of a JPEG
MAX_SCANNED = 2_000_000_000  # pixels times scans
RLE_PIXELS = 4_000_000  # of a run-length encoded BMP, which Pillow decodes in Python
MAX_FRAMES = 1000  # frames are counted up to here
MAX_BLOCKS = 1_000_000  # of a GIF's data, 255 bytes each at most: 100 million pixels need 600,000
MAX_COMPRESSED = 256  # texts and profiles of a PNG, each of which is inflated to 1 MB at most


def png_chunks(file: IO[bytes], until: bytes) -> int | None:
    """Walk to the chunk ``until``; returns the significant bits that the sBIT chunk, if any, declares."""
    file.seek(8)
    significant, compressed = None, 0
    for _ in range(MAX_PARTS):
        head = file.read(8)
        if len(head) < 8 or head[4:] == until:
            return significant
        compressed += head[4:] in (b"iCCP", b"zTXt", b"iTXt")
        if compressed > MAX_COMPRESSED:
            raise ImageError(
                f"a PNG file of more than {MAX_COMPRESSED} texts and profiles, which no picture needs"
            )
        length = struct.unpack(">I", head[:4])[0]
        if head[4:] == b"sBIT" and 0 < length <= 4:
            body = file.read(length)
            significant = max(body[:3], default=None)  # the fourth is of alpha
            length -= len(body)
        file.seek(length + 4, 1)
    raise ImageError(f"a PNG file of more than {MAX_PARTS} chunks, which no picture needs")


def jpeg_segments(file: IO[bytes]) -> None:
    """Walk to the first scan as Pillow does, over junk and padding one byte at a time."""
    file.seek(2)
    for _ in range(MAX_PARTS):
        marker = file.read(1)
        if not marker:
            return
        if marker != b"\xff":
            continue
        code = file.read(1)
        if code == b"\xff":
            file.seek(-1, 1)
        elif code == b"\xda":
            return
        elif code and code not in b"\0\x01" and not 0xD0 <= code[0] <= 0xD9:
            length = file.read(2)
            file.seek(max(0, int.from_bytes(length) - 2), 1)
    raise ImageError(
        f"a JPEG file of more than {MAX_PARTS} segments before its pixels, which no picture needs"
    )


def jpeg_scans(data: bytes, pixels: int) -> None:
    """Count scans by their two-byte marker: a progressive JPEG of thousands of scans takes minutes."""
    scans = data.count(b"\xff\xda")
    if scans > MAX_SCANS or scans * pixels > MAX_SCANNED:
        raise ImageError(
            f"a JPEG file of {pixels} pixels in {scans} scans, which would take minutes; save it anew"
        )


def gif_frames(file: IO[bytes]) -> int:
    """Count the frames; ``MAX_FRAMES + 1`` if there are more or the count was given up."""
    file.seek(0)
    head = file.read(13)
    _skip_colors(file, head[10] if len(head) == 13 else 0)
    frames = blocks = 0
    while blocks < MAX_BLOCKS and frames <= MAX_FRAMES:
        blocks += 1
        kind = file.read(1)
        if kind == b"!":
            file.read(1)
        elif kind == b",":
            frames += 1
            place = file.read(9)
            _skip_colors(file, place[8] if len(place) == 9 else 0)
            file.read(1)
        elif not kind or kind == b";":
            return frames
        else:
            continue
        while blocks < MAX_BLOCKS and (size := file.read(1)) not in (b"", b"\0"):
            blocks += 1
            file.seek(size[0], 1)
    if frames <= 1:
        raise ImageError(f"a GIF file of more than {MAX_BLOCKS} blocks, which no picture needs")
    return MAX_FRAMES + 1


def _skip_colors(file: IO[bytes], flags: int) -> None:
    if flags & 128:
        file.seek(3 << ((flags & 7) + 1), 1)


def jpeg2000_precision(file: IO[bytes]) -> int:
    """Bits of a sample, from the header of the codestream; also walks on to its first tile."""
    file.seek(0)
    head = file.read(1 << 20)
    start = head.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(head) < start + 43 or (b"jP  " in head[:12] and b"jp2h" not in head[:start]):
        raise ImageError("a damaged JPEG 2000 file: its header cannot be read")
    file.seek(start + 2)
    for _ in range(MAX_PARTS):
        marker, length = file.read(2), file.read(2)
        if len(length) < 2 or marker in (b"\xff\x90", b"\xff\xd9"):
            return (head[start + 42] & 0x7F) + 1
        file.seek(max(0, int.from_bytes(length) - 2), 1)
    raise ImageError(f"a JPEG 2000 file of more than {MAX_PARTS} segments, which no picture needs")


def bmp_runs(file: IO[bytes], width: int, height: int) -> None:
    """Limit the pixels and the bytes that Pillow would decode in Python."""
    size = file.seek(0, 2)
    if width * height > RLE_PIXELS or size > 2 * (width + 2) * height + 4096:
        raise ImageError(
            f"a run-length encoded BMP file of {width} x {height} pixels, more than the "
            f"{RLE_PIXELS} that are read; save it without compression or as PNG"
        )
