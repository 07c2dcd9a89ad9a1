"""`onlygood verify`: the checks of ``runtime/verify.py``, one a line."""

from pathlib import Path

import typer

from onlygood.runtime.model.verify import verify


def run(model: Path, sha256: str | None, golden: Path | None) -> int:
    """Print each check; 0 if all passed, else 2."""
    passed = True
    for check in verify(model, sha256=sha256, golden=golden):
        typer.echo(f"{'ok' if check.passed else 'FAILED':<6}  {check.name:<9}  {check.detail}")
        passed &= check.passed
    return 0 if passed else 2
