"""`onlygood tasks`: the pretext tasks, and what each is good for."""

import typer

from onlygood.anomaly.tasks import ALL_TASKS
from onlygood.runtime import jsontext


def run(json: bool) -> int:
    """Print two lines a task, or JSON; imports no task.

    The cost is CPU time for each training image, in times of rotation's.
    """
    if json:
        facts = {
            name: {
                "paper": entry.paper,
                "good_for": entry.good_for,
                "cost": entry.cost,
                "needs": entry.needs,
            }
            for name, entry in ALL_TASKS.items()
        }
        typer.echo(jsontext.dumps(facts, indent=2, ascii=False))
        return 0
    width = max(map(len, ALL_TASKS)) + 2
    for name, entry in ALL_TASKS.items():
        needs = f" (needs {entry.needs})" if entry.needs else ""
        typer.echo(f"{name:{width}}{entry.good_for}{needs}")
        typer.echo(f"{'':{width}}{entry.paper}; costs {entry.cost:.1f} × rotation")
    return 0
