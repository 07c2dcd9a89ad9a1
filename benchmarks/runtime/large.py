"""Time and memory of `onlygood score --tile` on TIFFs of 20,000 x 20,000 pixels.

    python -m benchmarks.runtime.large MODEL [--tile 1024] [--side 20000] [--disc]

One TIFF lies in raw strips, the other in deflated tiles of 512 px; both hold noise and are removed. With
--disc only the largest disc counts, as on a wafer (--roi, a polygon).
"""

import argparse
import json
import shutil
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import harness

STRIP, TILE = 50, 512
_CODE = "import sys; from benchmarks.runtime.large import write; write(sys.argv[1], int(sys.argv[2]))"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--tile", default="1024")
    parser.add_argument("--side", type=int, default=20_000)
    parser.add_argument("--disc", action="store_true", help="look at a disc alone")
    options = parser.parse_args()
    folder = harness.RUNS / "large"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rows = []
    for kind in ("strips", "tiles"):  # written by a process of its own: this one must stay small
        harness.run_measured([sys.executable, "-c", _CODE, f"{kind}.tif", str(options.side)], folder, kind)
        arguments = [
            "score",
            str(options.model.resolve()),
            f"{kind}.tif",
            "--tile",
            options.tile,
            "--any-frame",
        ]
        if options.disc:
            (folder / "disc.json").write_text(_disc(options.side), encoding="utf-8")
            arguments += ["--roi", "disc.json"]
        usage = harness.run_measured(harness.onlygood(*arguments), folder, "score", threads=None)
        (folder / f"{kind}.tif").unlink()
        rows.append(
            [kind, f"{usage.wall_seconds:.0f}", f"{usage.cpu_seconds:.0f}", f"{usage.peak_rss_mb:.0f}"]
        )
    print(harness.markdown([f"TIFF of {options.side}² px in", "s", "CPU s", "peak MB"], rows))


def _disc(side: int) -> str:
    turns = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    corners = (side / 2 * (1 + np.stack([np.cos(turns), np.sin(turns)], axis=1))).round(1).tolist()
    return json.dumps({"width": side, "height": side, "polygons": [corners]})


def write(path: str, side: int) -> None:
    """A TIFF of RGB noise, in what its name says."""
    kind = Path(path).stem
    tags = {256: [side], 257: [side], 258: [8, 8, 8], 262: [2], 277: [3]}
    rng = np.random.default_rng(0)
    if kind == "strips":
        pieces = _strips(rng, side)
        tags |= {259: [1], 278: [STRIP]}
    else:
        square = rng.integers(96, 160, (TILE, TILE, 3), np.uint8) // 8 * 8
        pieces = iter([zlib.compress(square.tobytes(), 1)] * (-(-side // TILE)) ** 2)
        tags |= {259: [8], 322: [TILE], 323: [TILE]}
    starts, lengths = [], []
    with Path(path).open("wb") as file:
        file.write(b"II*\0" + bytes(4))
        for piece in pieces:
            starts.append(file.tell())
            lengths.append(len(piece))
            file.write(piece)
        tags |= {273: starts, 279: lengths} if kind == "strips" else {324: starts, 325: lengths}
        table = file.tell()
        file.write(_table(tags, table))
        file.seek(4)
        file.write(struct.pack("<I", table))


def _strips(rng: np.random.Generator, side: int) -> Iterator[bytes]:
    noise = rng.integers(96, 160, (STRIP, side, 3), np.uint8)
    for top in range(0, side, STRIP):
        yield np.roll(noise, top, axis=1)[: min(STRIP, side - top)].tobytes()


def _table(tags: dict[int, list[int]], at: int) -> bytes:
    outside_at, table, outside = at + 2 + 12 * len(tags) + 4, b"", b""
    for tag, values in sorted(tags.items()):
        packed = struct.pack(f"<{len(values)}I", *values)
        place = packed if len(packed) == 4 else struct.pack("<I", outside_at + len(outside))
        outside += packed if len(packed) > 4 else b""
        table += struct.pack("<HHI", tag, 4, len(values)) + place
    return struct.pack("<H", len(tags)) + table + bytes(4) + outside


if __name__ == "__main__":
    main()
