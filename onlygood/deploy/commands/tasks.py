"""`onlygood tasks`: the pretext tasks, and what each is good for."""

import typer

from onlygood.deploy.options.training import TasksOptions
from onlygood.pretrain.tasks.registry import TASKS
from onlygood.runtime import jsontext


def run(options: TasksOptions) -> int:
    """Print two lines a task, or JSON; imports no task.

    The cost is the CPU time of a training image, in times of rotation's.
    """
    if options.json:
        facts = {
            name: {
                "paper": entry.paper,
                "good_for": entry.good_for,
                "cost": entry.cost,
                "needs": entry.needs,
            }
            for name, entry in TASKS.items()
        }
        typer.echo(jsontext.dumps(facts, indent=2, ascii=False))
        return 0
    width = max(map(len, TASKS)) + 2
    for name, entry in TASKS.items():
        needs = f" (needs {entry.needs})" if entry.needs else ""
        typer.echo(f"{name:{width}}{entry.good_for}{needs}")
        cost = f"costs {entry.cost:.1f} × rotation" if entry.cost is not None else "cost not measured"
        typer.echo(f"{'':{width}}{entry.paper}; {cost}")
    return 0
