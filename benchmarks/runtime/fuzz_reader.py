"""Mutated pictures of every kind: does the reader give pixels or a reason, in time, in memory, in silence?

    python -m benchmarks.runtime.fuzz_reader --inputs 60000 --output benchmarks/results/fuzz/reader.json

Seeds are those of the tests (`tests/pictures.py`). Each input is one of them with a few mutations: bytes,
numbers set to extremes, pieces cut, doubled or taken from another seed; half of the PNGs get valid checksums
again, so that decoders see what is behind them. Input ``i`` of a seed is the same every time. A child process
decodes, so that even a crash is an answer, and whatever appears on file descriptor 2 counts as a failure.
Exits with 1 if there was any.
"""

import re
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import features

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
import pictures

from benchmarks.runtime.fuzzing import Campaign, Make, Say, run
from onlygood.runtime.errors import ImageError
from onlygood.runtime.images import formats
from onlygood.runtime.images.reader import ReadOptions, load_image
from onlygood.runtime.images.silence import silence_decoders
from onlygood.runtime.images.spec import InputSpec

MAX_PIXELS = 1_000_000
SPECS = (
    InputSpec(height=16, width=24, channels=3),
    InputSpec(height=32, width=32, channels=1, bit_depth=12, resize="pad"),
    InputSpec(height=16, width=16, channels=3, bit_depth=10, resize="crop", jpeg="reduced"),
)
_KINDS = "|".join(map(re.escape, formats.FORMATS))
_DAMAGED = "its (header|pixels) cannot be read|it .*|its header makes no sense|a checksum does not match .*"
REASONS = (
    *(re.escape(words) for words, _ in formats._OTHERS),
    r"\d+ x \d+ pixels are more than the limit of \d+",
    rf"a damaged ({_KINDS}|Netpbm file \(PBM, PGM, PPM\)|\w+) ?(file)?: ({_DAMAGED})",
    rf"an? ({_KINDS}|Netpbm) file (\(PBM, PGM, PPM\) )?that is truncated",
    rf"an? ({_KINDS}) file (of|in|whose|that) .*",
    r"a TIFF file of \d+ channels? with \d+ bits \(.*\), color kind \d+, compression \d+, is .*",
    r"a Netpbm file \(PBM, PGM, PPM\) in plain text; .*",
    r"a camera raw file \(DNG\), which is not read; .*",
    r"a run-length encoded BMP file of .*",
    r"an (HEIC|AVIF) picture, which .*",
    r"floating-point pixels (from .* to .*, where 0 to 1 is read; .*|that are no numbers; .*)",
    r"pixels outside 0 … 65535 .*; save .*",
)
_EXTREMES = (0, 1, 2, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(number: int, seed: int, pool: list[bytes]) -> tuple[int, bytes]:
    """Input ``number``: which seed it comes from, and its bytes."""
    rng = np.random.default_rng((seed, number))
    which = int(rng.integers(len(pool)))
    data = bytearray(pool[which])
    for _ in range(int(rng.geometric(0.5))):
        if not data:
            break
        # Headers matter most.
        at = int(rng.integers(min(len(data), 200) if rng.random() < 0.5 else len(data)))
        match int(rng.integers(7)):
            case 0 | 1:
                data[at] = int(rng.integers(256))
            case 2:
                data[at] ^= 1 << int(rng.integers(8))
            case 3:
                letter = "<>"[int(rng.integers(2))] + "HI"[int(rng.integers(2))]
                size = struct.calcsize(letter)
                value = _EXTREMES[int(rng.integers(len(_EXTREMES)))] & (1 << 8 * size) - 1
                data[at : at + size] = struct.pack(letter, value)
            case 4:
                del data[at : at + int(rng.geometric(0.05))]
            case 5:
                piece = data[at : at + int(rng.geometric(0.02))]
                data[at:at] = piece * int(rng.integers(1, 4))
            case 6:
                other = pool[int(rng.integers(len(pool)))]
                start = int(rng.integers(len(other)))
                data[at : at + 40] = other[start : start + int(rng.integers(1, 80))]
    if rng.random() < 0.1:
        del data[int(rng.integers(len(data) + 1)) :]
    if data.startswith(b"\x89PNG") and rng.random() < 0.5:
        data = checksums_mended(data)
    return which, bytes(data)


def checksums_mended(data: bytearray) -> bytearray:
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        struct.pack_into(">I", data, end, zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return data


def answer(data: bytes, number: int) -> str:
    """The word "image", a reason, or what is wrong with the answer, which begins with "FAILURE"."""
    spec = SPECS[number % len(SPECS)]
    try:
        loaded = load_image(data, spec, ReadOptions(max_pixels=MAX_PIXELS))
    except ImageError as error:
        reason = str(error)
        if not any(re.fullmatch(pattern, reason) for pattern in REASONS):
            return f"FAILURE: unknown reason: {reason}"
        letters = sum(character.isalpha() for character in reason)
        return reason if letters >= 11 and len(reason) <= 220 else f"FAILURE: too short or long: {reason}"
    except BaseException as error:
        return f"FAILURE: {type(error).__name__}: {error}"
    if loaded.pixels.shape != (spec.height, spec.width, spec.channels) or loaded.pixels.dtype != np.uint8:
        return "FAILURE: pixels of another shape"
    return "image"


def seeds(more: list[Path]) -> dict[str, bytes]:
    """The tests' files, and some from elsewhere."""
    return pictures.seeds() | {path.name: path.read_bytes() for path in more}


def prepare(seed: int, more: list[Path]) -> tuple[Make, Say]:
    """What makes an input and what answers for it."""
    silence_decoders()
    pool = list(seeds(more).values())
    return (lambda number: mutated(number, seed, pool)), answer


def general(said: str) -> str:
    """A reason without its numbers, to be counted."""
    return re.sub(r"-?\d+(\.\d+)?(e[+-]\d+)?", "N", said)


CAMPAIGN = Campaign(
    typed="python -m benchmarks.runtime.fuzz_reader",
    prepare=prepare,
    seeds=seeds,
    general=general,
    fine="image",
    inputs=60_000,
    seconds=3.0,
    megabytes=700,
    libraries=lambda: {name: features.version(name) for name in features.get_supported()},
)


if __name__ == "__main__":
    run(CAMPAIGN)
