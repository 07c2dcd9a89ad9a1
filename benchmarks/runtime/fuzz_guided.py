"""The reader and the loader under atheris, which changes inputs towards code that none has reached yet.

    python -m benchmarks.runtime.fuzz_guided reader|model --inputs 20000

In an environment with `pip install atheris`. The seeds and what counts as an answer are those of
fuzz_reader.py and fuzz_model.py; model files are sealed again. Only Python code guides it: decoders and
onnxruntime are not instrumented. Ends with libFuzzer's own exit code, 0 where nothing failed, and prints how
many inputs were run.
"""

import argparse
import sys
import tempfile
import zlib
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["onlygood"]):
    from benchmarks.runtime import fuzz_model, fuzz_reader

CAMPAIGNS = {"reader": fuzz_reader.CAMPAIGN, "model": fuzz_model.CAMPAIGN}
LONGEST = 65_536  # bytes of an input


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runtime.fuzz_guided")
    parser.add_argument("what", choices=CAMPAIGNS)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    campaign = CAMPAIGNS[options.what]
    _, say = campaign.prepare(0, [])

    def one(data: bytes) -> None:
        if options.what == "model":
            with suppress(Exception):  # what has no place for a seal stays as it is
                data = fuzz_model.hand_made.seal(data)
        said = say(data, zlib.crc32(data))
        if said.startswith("FAILURE"):
            raise RuntimeError(said)

    with tempfile.TemporaryDirectory() as folder:
        for name, data in campaign.seeds([]).items():
            (Path(folder) / name.replace("/", "_")).write_bytes(data)
        limits = [f"-rss_limit_mb={campaign.megabytes}", "-timeout=20", f"-max_len={LONGEST}"]
        runs = [f"-runs={options.inputs}", f"-seed={options.seed}", "-print_final_stats=1"]
        atheris.Setup([sys.argv[0], *runs, *limits, f"-artifact_prefix={folder}/", folder], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
