"""What `--resume` costs where there are many rows: time and memory to read them, bytes on the disk.

python -m benchmarks.runtime.ledger --rows 1000000 --output benchmarks/results/on_ray/ledger.json
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

from benchmarks.harness import provenance, typed_command, write_result
from onlygood.runtime.rows.ledger import Ledger
from onlygood.runtime.rows.verdicts import JsonlWriter, Row, Settings, Stamp, Status

SETTINGS = Settings("0123456789ab", 3.20391321, 16)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        with file.open("w") as stream:
            writer = JsonlWriter(stream, SETTINGS)
            begun = time.process_time()
            for number in range(given.rows):
                stamp = Stamp(300_000 + number % 1000, 1_790_000_000_000_000_000 + number)
                path = Path(f"line1/2026-11-28/camera-{number % 40:02}/{number:08}.png")
                writer.write(
                    Row(
                        path,
                        Status.NORMAL,
                        SETTINGS.threshold,
                        1.23456789,
                        0.5,
                        1024,
                        1024,
                        31.4,
                        stamp=stamp,
                    )
                )
            wrote = time.process_time() - begun
        before, begun = peak_mb(), time.process_time()
        with Ledger(file, SETTINGS):
            read, after = time.process_time() - begun, peak_mb()
        result = {
            "rows": given.rows,
            "bytes_a_row": round(file.stat().st_size / given.rows),
            "write_cpu_us_a_row": round(1e6 * wrote / given.rows, 1),
            "read_cpu_us_a_row": round(1e6 * read / given.rows, 1),
            "memory_bytes_a_row": round(1e6 * (after - before) / given.rows),
        }
    write_result(given.output, result | {"command": typed_command()} | provenance())
    print(result)


if __name__ == "__main__":
    main()
