"""The command line: what can be typed. What a command does lives in ``deploy/commands``, imported when run.

Nothing heavy is imported here, so that ``--help`` is instant and the edge never loads a training library.
"""

import importlib
import io
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from onlygood import __version__
from onlygood.deploy import options as opt
from onlygood.deploy.entry import BROKEN_PIPE, INTERRUPTED
from onlygood.runtime.errors import Interrupted, OnlygoodError
from onlygood.runtime.images.files import display
from onlygood.runtime.images.silence import silence_decoders

app = typer.Typer(
    name="onlygood",
    help="Learn what good looks like from a folder of good images; flag everything else.",
    epilog="Exit codes: 0 fine; 1 anomalies (check only); 2 usage, model or input error;"
    " 130 interrupted, 143 terminated.",
    rich_markup_mode=None,  # rich would double the start-up time
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def invoke() -> int | None:
    """Do what was typed; returns the exit code, or raises what a usage error or a fault raises."""
    code: int | None = app(prog_name="onlygood", standalone_mode=False)
    return code


def _run(command: str, **options: Any) -> NoReturn:
    """Import the command, run it, and turn its outcome into an exit code and a message for people."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # no name may end a run
    try:
        module = importlib.import_module(f"onlygood.deploy.commands.{command}")
        silence_decoders()
        code = module.run(**options) or 0
        sys.stdout.flush()
    except Interrupted as error:
        typer.echo(f"onlygood: {error}", err=True)
        code = error.code
    except KeyboardInterrupt as stopped:
        code = getattr(stopped, "code", INTERRUPTED)
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
            _fail(f"`onlygood {command}` needs the package {error.name!r}: pip install 'onlygood[train]'")
        _fail(f"`onlygood {command}` cannot load a library that it needs: {error}")
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
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def fit(
    good_dir: opt.GoodFolder,
    *,
    output: opt.ModelOutput = Path("model.onnx"),
    recipe: opt.Recipe = None,
    minutes: opt.Minutes = None,
    steps: opt.Steps = None,
    max_false_alarms: opt.Rate = None,
    seed: opt.Seed = 0,
    resume: opt.ResumeTraining = False,
    work: opt.Work = None,
    overrides: opt.Overrides = None,
    all_good: opt.AllGood = False,
    quiet: opt.Quiet = False,
) -> None:
    """Learn from a folder of good images and write one model file."""
    _run("fit", **locals())


@app.command()
def score(
    model: opt.Model,
    paths: opt.Images = None,
    *,
    format: opt.Rows = opt.RowFormat.AUTO,
    output: opt.RowsOutput = None,
    spreadsheet_safe: opt.SpreadsheetSafe = False,
    resume: opt.ResumeRows = False,
    threshold: opt.Threshold = None,
    max_false_alarms: opt.Rate = None,
    files_from: opt.FilesFrom = None,
    null: opt.Null = False,
    no_recursive: opt.NoRecursive = False,
    follow_symlinks: opt.FollowSymlinks = False,
    exclude: opt.Exclude = None,
    max_pixels: opt.MaxPixels = None,
    max_memory: opt.MaxMemory = None,
    bit_depth: opt.BitDepth = None,
    on_error: opt.ErrorPolicy = opt.OnError.FAIL,
    workers: opt.Workers = None,
    threads: opt.Threads = 1,
    provider: opt.Provider = "cpu",
    any_frame: opt.AnyFrame = False,
    copy_flagged: opt.CopyFlagged = None,
    sha256: opt.Sha256 = None,
    color: opt.Colors = opt.Color.AUTO,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> None:
    """Score images: one row each on stdout."""
    _run("score", judge=False, **locals())


@app.command()
def check(
    model: opt.Model,
    paths: opt.Images = None,
    *,
    format: opt.Rows = opt.RowFormat.AUTO,
    output: opt.RowsOutput = None,
    spreadsheet_safe: opt.SpreadsheetSafe = False,
    resume: opt.ResumeRows = False,
    threshold: opt.Threshold = None,
    max_false_alarms: opt.Rate = None,
    exit_zero: opt.ExitZero = False,
    files_from: opt.FilesFrom = None,
    null: opt.Null = False,
    no_recursive: opt.NoRecursive = False,
    follow_symlinks: opt.FollowSymlinks = False,
    exclude: opt.Exclude = None,
    max_pixels: opt.MaxPixels = None,
    max_memory: opt.MaxMemory = None,
    bit_depth: opt.BitDepth = None,
    on_error: opt.ErrorPolicy = opt.OnError.FAIL,
    workers: opt.Workers = None,
    threads: opt.Threads = 1,
    provider: opt.Provider = "cpu",
    any_frame: opt.AnyFrame = False,
    copy_flagged: opt.CopyFlagged = None,
    sha256: opt.Sha256 = None,
    color: opt.Colors = opt.Color.AUTO,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> None:
    """Judge images: print the anomalous and the unreadable ones; exit with 1 if any is anomalous."""
    _run("score", judge=True, **locals())


@app.command()
def info(
    model: opt.Model,
    *,
    max_false_alarms: opt.Rate = None,
    json: opt.Json = False,
) -> None:
    """Say what a model file is: input, recipe, threshold, training."""
    _run("info", **locals())


@app.command()
def verify(
    model: opt.Model,
    *,
    sha256: opt.Sha256 = None,
    golden: opt.Golden = None,
) -> None:
    """Check that a model file is whole, safe, and scores on this device as it did where it was made."""
    _run("verify", **locals())


@app.command()
def evaluate(
    model: opt.Model,
    dataset: opt.DatasetFolder,
    *,
    format: opt.MetricsRows = opt.MetricsFormat.TEXT,
    output: opt.ReportFolder = None,
    threads: opt.Threads = 1,
    max_memory: opt.MaxMemory = None,
    seed: opt.Seed = 0,
    quiet: opt.Quiet = False,
) -> None:
    """Measure a model on labelled images: AUROC with intervals, per defect, with pictures."""
    _run("evaluate", **locals())


@app.command()
def pretrain(
    task: opt.Task,
    directory: opt.Source,
    *,
    output: opt.EncoderOutput = Path("encoder.safetensors"),
    encoder: opt.Encoder = "small",
    labelled: opt.FewLabels = None,
    steps: opt.Steps = None,
    minutes: opt.Minutes = None,
    seed: opt.Seed = 0,
    resume: opt.ResumeTraining = False,
    overrides: opt.Overrides = None,
    quiet: opt.Quiet = False,
) -> None:
    """Train an encoder by one pretext task, without a detector."""
    _run("pretrain", **locals())


@app.command()
def probe(
    encoder: opt.ProbedEncoder,
    labelled: opt.Labelled,
    *,
    protocol: opt.Protocol = "linear",
    output: opt.ProbeOutput = None,
    name: opt.EncoderName = None,
    stages: opt.Stages = None,
    standardize: opt.Standardize = None,
    test_fraction: opt.TestFraction = 0.2,
    split_seed: opt.SplitSeed = 0,
    seed: opt.Seed = 0,
    overrides: opt.Overrides = None,
    format: opt.MetricsRows = opt.MetricsFormat.TEXT,
    quiet: opt.Quiet = False,
) -> None:
    """Measure what a frozen encoder has learned, on labelled images."""
    _run("probe", **locals())


@app.command()
def compare(
    results: opt.Results,
    *,
    output: opt.PlotOutput = None,
    format: opt.MetricsRows = opt.MetricsFormat.TEXT,
    quiet: opt.Quiet = False,
) -> None:
    """Put results of probe side by side, as a table and a plot."""
    _run("compare", **locals())


@app.command()
def tasks(*, json: opt.Json = False) -> None:
    """List the pretext tasks, with their papers and what each is good for."""
    _run("tasks", **locals())


@app.command()
def demo(
    directory: opt.DemoFolder = Path("demo"),
    *,
    seed: opt.Seed = 0,
    images: opt.DemoImages = 240,
) -> None:
    """Make a small data set of good and defective plates to try everything on."""
    _run("demo", **locals())
