"""Lighthouse on what `onlygood report` and `onlygood page` write: accessibility and best practices, of 100.

    onlygood demo demo
    python -m benchmarks.deploy.page_lighthouse demo

``demo`` is the folder that the first command made. npm's `npx` fetches Lighthouse once, in the version below.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import harness

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from browser import CHROMIUM, Site  # of the tests

LIGHTHOUSE = "lighthouse@13.5.0"
FORMS = {"phone": [], "desktop": ["--preset=desktop"]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("demo", type=Path, metavar="DEMO", help="folder of `onlygood demo`")
    demo = parser.parse_args().demo
    model, data = str((demo / "model.onnx").resolve()), str((demo / "data").resolve())
    result: dict[str, Any] = {"command": harness.typed_command(demo)} | harness.provenance()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        harness.run_measured(harness.onlygood("page", model, "-o", "site"), work, "page")
        harness.run_measured(harness.onlygood("report", model, data, "-o", "report.html"), work, "report")
        for what, folder, file in (("report", work, "report.html"), ("page", work / "site", "")):
            site = Site(folder)
            found = {form: ask(site.url + file, options, work) for form, options in FORMS.items()}
            site.close()
            print(f"{what}: {found}")
            result[what] = found
    harness.write_result(harness.result_file("page_lighthouse", "plates"), result)


def ask(url: str, options: list[str], work: Path) -> dict[str, Any]:
    command = ["npx", "--yes", LIGHTHOUSE, url, *options, "--quiet", "--output=json", "--output-path=l.json"]
    command += ["--only-categories=accessibility,best-practices", "--chrome-flags=--headless --no-sandbox"]
    environment = os.environ | {"CHROME_PATH": str(CHROMIUM)}
    subprocess.run(command, cwd=work, env=environment, check=True)
    found = json.loads((work / "l.json").read_text(encoding="utf-8"))
    scores = {name: round(100 * kind["score"]) for name, kind in found["categories"].items()}
    failed = [key for key, audit in found["audits"].items() if audit["score"] not in (None, 1)]
    return scores | {"lighthouse": found["lighthouseVersion"], "not passed": failed}


if __name__ == "__main__":
    main()
