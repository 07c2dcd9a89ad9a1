"""`onlygood verify`: the checks of ``runtime/model/verify.py``, one a line."""

import typer

from onlygood.deploy.options.models import VerifyOptions
from onlygood.runtime.model.verify import verify


def run(options: VerifyOptions) -> int:
    """Print each check; 0 if all passed, else 2."""
    passed = True
    for check in verify(options.model, sha256=options.sha256, key=options.key, golden=options.golden):
        typer.echo(f"{'ok' if check.passed else 'FAILED':<6}  {check.name:<9}  {check.detail}")
        passed &= check.passed
    return 0 if passed else 2
