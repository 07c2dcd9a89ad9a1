"""The command line: a table of what can be typed.

What a command takes lives in ``deploy/options``, what it does in ``deploy/commands``, imported when run.
Nothing heavy is imported here, so that ``--help`` is instant and the edge never loads a training library.
"""

import importlib
import io
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from onlygood import __version__
from onlygood.deploy.entry import BROKEN_PIPE, FAULT, INTERRUPTED
from onlygood.deploy.options import (
    camera,
    demo,
    edge,
    explain,
    models,
    page,
    probes,
    report,
    rows,
    serve,
    signing,
    training,
    watch,
)
from onlygood.deploy.options.shared import Options
from onlygood.deploy.signature import typed
from onlygood.deploy.welcome import welcome
from onlygood.runtime.errors import Interrupted, OnlygoodError
from onlygood.runtime.images.files import display
from onlygood.runtime.images.silence import silence_decoders
from onlygood.runtime.launched import helping

# What can be typed: what a command takes, and the module in ``commands`` whose ``run`` takes it.
COMMANDS: dict[str, tuple[type[Options], str]] = {
    "fit": (training.FitOptions, "fit"),
    "doctor": (training.DoctorOptions, "doctor"),
    "score": (rows.ScoreOptions, "score"),
    "check": (rows.CheckOptions, "score"),
    "watch": (watch.WatchOptions, "watch"),
    "camera": (camera.CameraOptions, "camera"),
    "serve": (serve.ServeOptions, "serve"),
    "triton": (models.TritonOptions, "triton"),
    "info": (models.InfoOptions, "info"),
    "verify": (models.VerifyOptions, "verify"),
    "sign": (signing.SignOptions, "sign"),
    "keygen": (signing.KeygenOptions, "keygen"),
    "evaluate": (models.EvaluateOptions, "evaluate"),
    "calibrate": (edge.CalibrateOptions, "calibrate"),
    "report": (report.ReportOptions, "report"),
    "explain": (explain.ExplainOptions, "explain"),
    "page": (page.PageOptions, "page"),
    "quantize": (edge.QuantizeOptions, "quantize"),
    "bench": (edge.BenchOptions, "bench"),
    "pretrain": (training.PretrainOptions, "pretrain"),
    "probe": (probes.ProbeOptions, "probe"),
    "compare": (probes.CompareOptions, "compare"),
    "tasks": (training.TasksOptions, "tasks"),
    "recipes": (training.RecipesOptions, "recipes"),
    "demo": (demo.DemoOptions, "demo"),
    "man": (models.ManOptions, "man"),
}

app = typer.Typer(
    name="onlygood",
    help="Learn what good looks like from a folder of good images; flag everything else.",
    epilog="Exit codes: 0 fine; 1 anomalies (check only); 2 usage, model or input error;"
    " 130 interrupted, 143 terminated.",
    rich_markup_mode=None,  # rich would double the start-up time
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def invoke(line: Sequence[str] | None = None) -> int:
    """Do what was typed, or the ``line`` given; returns the exit code.

    Raises:
        Exception: a usage error, as click says it, or a fault.
    """
    return app(line, prog_name="onlygood", standalone_mode=False) or 0


def _run(name: str, module: str, options: Options) -> NoReturn:
    """Import the command, run it, and turn its outcome into an exit code and a message for people."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # no name may end a run
    try:
        command = importlib.import_module(f"onlygood.deploy.commands.{module}")
        silence_decoders()
        code: int = command.run(options)
        sys.stdout.flush()
    except Interrupted as error:
        if not helping():
            typer.echo(f"onlygood: {error}", err=True)
        code = error.code
    except KeyboardInterrupt as stopped:
        code = getattr(stopped, "code", INTERRUPTED)
    except SystemExit:  # of a library: none of its codes is one of ours
        code = FAULT
    except OnlygoodError as error:
        _fail(str(error))
    except BrokenPipeError:
        # The reader (`| head`) has left; what Python still flushes at exit must go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = BROKEN_PIPE
    except OSError as error:
        where = display(error.filename) if error.filename else "standard input or output"
        _fail(f"{where}: {error.strerror or error}")
    except MemoryError:
        _fail("out of memory; fewer --workers, smaller images or a smaller batch need less")
    except ImportError as error:
        if (error.name or "").startswith("onlygood"):
            raise
        if isinstance(error, ModuleNotFoundError):
            _fail(f"`onlygood {name}` needs the package {error.name!r}: pip install 'onlygood[train]'")
        _fail(f"`onlygood {name}` cannot load a library that it needs: {error}")
    raise typer.Exit(code)


def _fail(message: str) -> NoReturn:
    typer.echo(f"onlygood: {message}", err=True)
    raise typer.Exit(2)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"onlygood {__version__}")
        raise typer.Exit()


@app.callback()
def _main(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(welcome(Path()))
        raise typer.Exit(2)  # a script whose command was left out must hear of it


for _name, (_options, _module) in COMMANDS.items():
    app.command(_name)(typed(_options, partial(_run, _name, _module)))
