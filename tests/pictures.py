"""Picture files of every kind, made here: TIFFs of any layout, PNGs by chunks, and a seed of each format."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

H, W = 16, 24
SCENE = np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)


def encode(image: Image.Image | NDArray[Any], form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png16(values: NDArray[Any], *between: bytes, interlaced: bool = False) -> bytes:
    """A 16-bit PNG of ``(H, W)``, or with 2 (grey, alpha), 3 or 4 channels; ``between``: more chunks."""
    values = values.astype(">u2").reshape(*values.shape[:2], -1)
    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, int(interlaced))
    passes = _ADAM7 if interlaced else [(0, 0, 1, 1)]
    parts = [values[y::down, x::across] for x, y, across, down in passes]
    rows = b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)
    tail = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(between) + tail


_ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def packed(values: NDArray[Any], bits: int) -> bytes:
    """Rows of ``bits``-bit numbers without gaps, each row filled up to a whole byte."""
    flat = values.reshape(len(values), -1).astype(np.uint16)
    return b"".join(
        np.packbits((row[:, None] >> np.arange(bits - 1, -1, -1) & 1).astype(np.uint8)).tobytes()
        for row in flat
    )


def tiff(
    values: NDArray[Any],
    *,
    order: str = "<",
    bits: int | None = None,
    photometric: int = 1,
    tags: dict[int, list[int]] | None = None,
    compress: bool = False,
    planar: bool = False,
    tile: int | None = None,
    big: bool = False,
) -> bytes:
    """A TIFF of ``(H, W)`` or ``(H, W, S)`` numbers, as their type says; ``bits`` packs them closer.

    ``tags`` adds or replaces tags; ``compress`` deflates; ``planar`` stores channels one after another;
    ``tile`` cuts into squares of that side.
    """
    values = values.reshape(*values.shape[:2], -1)
    height, width, channels = values.shape
    depth = bits or 8 * values.dtype.itemsize
    planes = [values[..., i : i + 1] for i in range(channels)] if planar else [values]
    blocks = [block for plane in planes for block in _blocks(plane, tile, rows=5)]
    if bits is None:
        strips = [block.astype(block.dtype.newbyteorder(order)).tobytes() for block in blocks]
    else:
        strips = [packed(block, bits) for block in blocks]
    strips = [zlib.compress(strip) for strip in strips] if compress else strips
    start = 16 if big else 8
    starts = [start + sum(map(len, strips[:i])) for i in range(len(strips))]
    lengths = [len(strip) for strip in strips]
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    all_tags = {256: [width], 257: [height], 258: [depth] * channels, 259: [8 if compress else 1]}
    all_tags |= {262: [photometric], 277: [channels], 284: [2 if planar else 1], 339: [kind] * channels}
    if tile:
        all_tags |= {322: [tile], 323: [tile], 324: starts, 325: lengths}
    else:
        all_tags |= {273: starts, 278: [5], 279: lengths}
    return tiff_of_tags(all_tags | (tags or {}), b"".join(strips), order, big=big)


def _blocks(plane: NDArray[Any], tile: int | None, rows: int) -> list[NDArray[Any]]:
    height, width = plane.shape[:2]
    if tile is None:
        return [plane[y : y + rows] for y in range(0, height, rows)]
    full = np.pad(plane, ((0, -height % tile), (0, -width % tile), (0, 0)))
    places = [(y, x) for y in range(0, height, tile) for x in range(0, width, tile)]
    return [full[y : y + tile, x : x + tile] for y, x in places]


def tiff_of_tags(tags: dict[int, list[int]], pixels: bytes, order: str = "<", *, big: bool = False) -> bytes:
    """A TIFF with these tags, all LONG, and ``pixels`` right behind its header."""
    mark = {"<": b"II", ">": b"MM"}[order]
    letter, size, start = ("Q", 8, 16) if big else ("I", 4, 8)
    table_at = start + len(pixels)
    outside_at = table_at + (8 if big else 2) + (size * 2 + 4) * len(tags) + size
    table, outside = struct.pack(order + ("Q" if big else "H"), len(tags)), b""
    for tag, numbers in sorted(tags.items()):
        packed_numbers = struct.pack(f"{order}{len(numbers)}I", *numbers)
        if len(packed_numbers) > size:
            place = struct.pack(order + letter, outside_at + len(outside))
            outside += packed_numbers
        else:
            place = packed_numbers.ljust(size, b"\0")
        table += struct.pack(order + "HH" + letter, tag, 4, len(numbers)) + place
    head = mark + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + "HHQ", 8, 0, table_at) if big else struct.pack(order + "I", table_at)
    return head + pixels + table + bytes(size) + outside


def rle_bmp(width: int, height: int, runs: bytes) -> bytes:
    """An 8-bit run-length encoded BMP with a palette of colours."""
    palette = b"".join(bytes((i, 255 - i, i // 2, 0)) for i in range(256))
    start = 14 + 40 + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", start + len(runs), 0, 0, start) + info + palette + runs


def ramp(top: int, width: int = W, height: int = H) -> NDArray[np.uint16]:
    """From 0 to ``top`` along each row."""
    return np.broadcast_to(np.linspace(0, top, width).astype(np.uint16), (height, width))


def seeds() -> dict[str, bytes]:
    """One small file or more of every format and layout that the reader knows."""
    gray, deep = SCENE[..., 0], SCENE.astype(np.uint16) * 257
    pages = [Image.fromarray(SCENE), Image.fromarray(255 - SCENE)]
    exif = Image.Exif()
    exif[0x0112] = 6
    found = {
        "png": encode(SCENE),
        "png_grey": encode(gray),
        "png_palette": encode(pages[0].convert("P")),
        "png_16": png16(deep[..., 0], chunk(b"sBIT", b"\x0c")),
        "png_16_color": png16(deep),
        "png_16_alpha": png16(np.dstack([deep[..., 0], deep[..., 1]])),
        "png_16_interlaced": png16(deep, interlaced=True),
        "png_exif": encode(SCENE, exif=exif),
        "apng": encode(pages[0], save_all=True, append_images=pages[1:]),
        "jpeg": encode(SCENE, "JPEG", exif=exif),
        "jpeg_grey": encode(gray, "JPEG"),
        "jpeg_progressive": encode(np.tile(SCENE, (3, 3, 1)), "JPEG", progressive=True),
        "jpeg_cmyk": encode(pages[0].convert("CMYK"), "JPEG"),
        "bmp": encode(SCENE, "BMP"),
        "bmp_palette": encode(pages[0].convert("P"), "BMP"),
        "bmp_rle": rle_bmp(W, H, b"".join(bytes((W, level, 0, 0)) for level in range(H)) + b"\0\1"),
        "webp": encode(SCENE, "WEBP"),
        "webp_lossless": encode(SCENE, "WEBP", lossless=True),
        "webp_pages": encode(pages[0], "WEBP", save_all=True, append_images=pages[1:]),
        "gif": encode(pages[0].convert("P"), "GIF"),
        "gif_pages": encode(pages[0].convert("P"), "GIF", save_all=True, append_images=pages[1:]),
        "pbm": encode(Image.fromarray(gray).convert("1"), "PPM"),
        "pgm": encode(gray, "PPM"),
        "pgm_12": b"P5 %d %d 4095\n" % (W, H) + (deep[..., 0] >> 4).astype(">u2").tobytes(),
        "ppm": encode(SCENE, "PPM"),
        "ppm_16": b"P6\n# by hand\n%d %d\n65535\n" % (W, H) + deep.astype(">u2").tobytes(),
        "tiff": encode(SCENE, "TIFF"),
        "tiff_pages": encode(pages[0], "TIFF", save_all=True, append_images=pages[1:]),
        "tiff_palette": encode(pages[0].convert("P"), "TIFF"),
        "tiff_cmyk": encode(pages[0].convert("CMYK"), "TIFF"),
        "tiff_lab": encode(Image.fromarray(SCENE).convert("LAB"), "TIFF"),
        "tiff_lzw": encode(SCENE, "TIFF", compression="tiff_lzw"),
        "tiff_jpeg": encode(SCENE, "TIFF", compression="jpeg"),
        "tiff_g4": encode(Image.fromarray(gray).convert("1"), "TIFF", compression="group4"),
        "tiff_16": tiff(deep[..., 0]),
        "tiff_16_inverted": tiff(deep[..., 0], photometric=0, order=">"),
        "tiff_16_color": tiff(deep, photometric=2, compress=True),
        "tiff_16_tiles": tiff(deep, photometric=2, tile=16),
        "tiff_16_planar": tiff(deep, photometric=2, planar=True),
        "tiff_16_alpha": tiff(np.dstack([deep[..., 0]] * 2), tags={338: [1]}),
        "tiff_12": tiff(deep[..., 0] >> 4, bits=12),
        "tiff_10_color": tiff(deep >> 6, bits=10, photometric=2),
        "tiff_float": tiff(np.float32(SCENE / 255), photometric=2),
        "tiff_double": tiff(gray / 255, compress=True, order=">"),
        "tiff_big": tiff(deep, photometric=2, big=True),
    }
    if features.check("jpg_2000"):
        found["jp2"] = encode(SCENE, "JPEG2000")
        found["jp2_16"] = encode(Image.fromarray(deep[..., 0]), "JPEG2000")
        found["j2k"] = encode(SCENE, "JPEG2000", no_jp2=True)
    if features.check("avif"):
        found["avif"] = encode(SCENE, "AVIF")
    return found
