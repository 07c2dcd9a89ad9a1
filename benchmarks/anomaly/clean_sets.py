"""How often is `onlygood doctor` wrong about good images that are as they should be?

    python -m benchmarks.anomaly.clean_sets DATA --output benchmarks/results/doctor/clean.json

DATA holds the data sets under their names, as for the ladder, plates among them (`onlygood demo` renders
such). The doctor runs on the good images of each as a user runs it, for the recipe `maps`. A warning or
problem is false unless a person has looked at the very files that it names and agrees: `LOOKED_AT` says what
was seen in them. A finding that names other or more files than were looked at counts as false. Notes are
traits of the images, not faults; they are listed, with what a person says of them, and not counted.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import harness

GOOD = {  # where the good images of a set lie
    "bottle": "bottle/train/good",
    "brick": "brick/good",
    "casting": "casting/good",
    "kolektor": "kolektor/good",
    "magnetic_tile": "mtd/normal",
    "plates": "train/good",
    "toothbrush": "toothbrush/train/good",
}


@dataclass(frozen=True)
class Seen:
    """What a person saw in the files of a finding; ``count`` is how many there were."""

    count: int
    words: str
    files: tuple[str, ...] = ()  # the first that it names; empty where it names none


LOOKED_AT = {
    ("brick", "copies"): Seen(
        10,
        "ten pairs of consecutive files are equal byte by byte (SHA-256)",
        ("00040.jpg", "00178.jpg", "00209.jpg", "00230.jpg", "00240.jpg"),
    ),
    ("kolektor", "copies"): Seen(
        15,
        "kos26 is kos01, and kos34 is kos27, photograph by photograph, equal byte by byte (SHA-256); "
        "kos21_Part7 is kos21_Part6",
        ("kos26_Part0.jpg", "kos26_Part1.jpg", "kos26_Part2.jpg", "kos26_Part3.jpg", "kos26_Part4.jpg"),
    ),
    ("kolektor", "near-duplicates"): Seen(
        12,
        "kos38 and kos39 are one item photographed twice, kos39 two parts further on: the same spots in both",
        ("kos38_Part2.jpg", "kos39_Part0.jpg", "kos38_Part3.jpg", "kos39_Part1.jpg", "kos38_Part4.jpg"),
    ),
    ("kolektor", "parts"): Seen(0, "names say the item: fifty items, about seven good photographs of each"),
    ("kolektor", "frames: too dark"): Seen(
        2,
        "kos23_Part0 is underexposed; kos46_Part4 is two thirds a smooth dark area with a fiber on it",
        ("kos23_Part0.jpg", "kos46_Part4.jpg"),
    ),
    ("kolektor", "outliers"): Seen(
        1, "a white bulge at the edge with a black mark beside it", ("kos14_Part2.jpg",)
    ),
    ("magnetic_tile", "sizes"): Seen(
        480,
        "tiles of several shapes were cut out of photographs: 875 sizes among 952 images",
        ("exp1_num_10181.jpg", "exp1_num_10334.jpg", "exp1_num_10903.jpg", "exp1_num_110086.jpg"),
    ),
    ("magnetic_tile", "frames: too bright"): Seen(
        2, "both are overexposed, mostly white", ("exp6_num_178058.jpg", "exp6_num_193234.jpg")
    ),
    ("magnetic_tile", "near-duplicates"): Seen(
        2,
        "the same tile twice, of one size, correlation .997",
        ("exp1_num_320808.jpg", "exp1_num_320895.jpg"),
    ),
    # notes
    ("brick", "symmetry"): Seen(0, "walls look the same upside down"),
    ("brick", "alignment"): Seen(0, "pieces of walls: bricks lie anywhere"),
    ("casting", "symmetry"): Seen(0, "round castings, photographed from above"),
    ("casting", "alignment"): Seen(0, "castings are centered, and lie turned in any way"),
    ("kolektor", "sizes"): Seen(0, "23 sizes, as published"),
    ("kolektor", "alignment"): Seen(0, "a surface without an order"),
    ("magnetic_tile", "alignment"): Seen(0, "a surface, in several shapes"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="folder of the data sets")
    parser.add_argument("--sets", nargs="+", choices=GOOD, default=list(GOOD), metavar="SET")
    parser.add_argument("--output", type=Path, required=True, help="JSON to write")
    options = parser.parse_args()
    began = time.perf_counter()
    found = {name: examined(options.data / name, name) for name in options.sets}
    counts = [verdict["verdict"] for of_set in found.values() for verdict in of_set["findings"]]
    result = {
        "benchmark": "clean_sets",
        "command": harness.typed_command(options.data, options.output),
        **harness.provenance(),
        "wall_seconds": round(time.perf_counter() - began, 1),
        "false": counts.count("false"),
        "true": counts.count("true"),
        "notes": counts.count("note"),
        "sets": found,
    }
    harness.write_result(options.output, result)
    print(f"{result['false']} false findings, {result['true']} true, {result['notes']} notes")


def examined(place: Path, name: str) -> dict[str, Any]:
    """What the doctor finds in the good images of a set, each with a verdict."""
    good = harness.unpacked(place) / GOOD[name]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        command = harness.onlygood("doctor", str(good), "--all-good", "--json", "--quiet")
        usage = harness.run_measured(command, home, "doctor", accept=(0, 2))
        said = json.loads((home / "doctor.out").read_text("utf-8"))
    findings = [judged(name, finding) for finding in said["findings"]]
    print(name, {finding["check"]: finding["verdict"] for finding in findings}, file=sys.stderr, flush=True)
    return {"images": said["images"], "cpu_seconds": round(usage.cpu_seconds, 1), "findings": findings}


def judged(name: str, finding: dict[str, Any]) -> dict[str, Any]:
    """A finding with ``verdict``: note, true (somebody looked at these files and agrees) or false."""
    files = [Path(file).name for file in finding["files"]]
    seen = LOOKED_AT.get((name, finding["check"]))
    same = seen is not None and seen.count == finding["count"] and files[: len(seen.files)] == [*seen.files]
    verdict = "note" if finding["level"] == "note" else "true" if same else "false"
    return {
        "check": finding["check"],
        "level": finding["level"],
        "verdict": verdict,
        "seen": finding["seen"],
        "looked_at": seen.words if seen else "",
        "count": finding["count"],
        "files": files,
    }


if __name__ == "__main__":
    main()
