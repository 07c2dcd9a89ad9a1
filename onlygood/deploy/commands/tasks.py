"""`onlygood tasks`: the pretext tasks, and what each is good for."""

import json as jsonlib

import typer

from onlygood.anomaly.tasks import ALL_TASKS


def run(json: bool) -> int:
    """Print a line a task, or JSON; imports no task."""
    if json:
        facts = {
            name: {"paper": entry.paper, "good_for": entry.good_for, "needs": entry.needs}
            for name, entry in ALL_TASKS.items()
        }
        typer.echo(jsonlib.dumps(facts, indent=2, ensure_ascii=False))
        return 0
    width = max(map(len, ALL_TASKS)) + 2
    for name, entry in ALL_TASKS.items():
        needs = f" (needs {entry.needs})" if entry.needs else ""
        typer.echo(f"{name:{width}}{entry.good_for}{needs}")
        typer.echo(f"{'':{width}}{entry.paper}")
    return 0
