"""SimCLR views in images a second: onlygood's batched ones beside torchvision's and kornia's.

    python -m benchmarks.pretrain.views                    # about 4 minutes on two quiet CPUs
    python -m benchmarks.pretrain.views --table

Needs the packages torch, torchvision and kornia beside onlygood, in an environment of its own:

    uv venv BV && uv pip install --python BV/bin/python torch torchvision kornia lightly -e '.[train]'
    BV/bin/python -m benchmarks.pretrain.views

A library that is not installed is skipped, and the result says so. Views are random resized crop and flip;
these and colour jitter (.4, .4, .4, .1 with probability .8) and grey (.2), much as SimCLR's; and all of these
and blur (.5), from 96 px on. The colour steps are alike, not the same: peers.py says how.

Images are made from the seed and lie in memory as uint8; every call ends with a standardised float32 batch.
Each number of threads has a process of its own; in it all take turns, round by round, so that what else the
machine does hits all alike. On a machine with CUDA, all that work on tensors work there, and the images
begin there. What goes one by one uses one CPU whatever the threads: see the ratio by CPU time.

Before anything is timed, everybody's output is looked at: mean, deviation, and how many of 32 copies of one
image come out different. That is 32 wherever each image gets draws of its own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

from benchmarks import harness

NAMES = {
    "onlygood": "onlygood, batched",
    "torchvision-pillow": "torchvision, Pillow images one by one",
    "torchvision-tensor": "torchvision v2, tensors one by one",
    "kornia-slice": "kornia, batched, crops one by one (its default)",
    "kornia-resample": "kornia, batched, crops in one warp",
    "torchvision-one-draw": "torchvision v2, one draw for the whole batch: not the same thing",
}
NEEDS = {name: name.partition("-")[0] for name in NAMES if name != "onlygood"}
SHORT = {
    "torchvision-pillow": "torchvision, Pillow",
    "torchvision-tensor": "torchvision v2, tensors",
    "kornia-slice": "kornia",
    "kornia-resample": "kornia, one warp",
    "torchvision-one-draw": "torchvision v2, one draw for all",
}
ONE_BY_ONE = ("torchvision-pillow", "torchvision-tensor")
COPIES = 32


def main() -> None:
    options = _arguments()
    if options.worker:
        print(json.dumps(work(options)))
        return
    if options.table:
        print(table(harness.read_results("views")))
        return
    import peers  # noqa: PLC0415

    file = harness.result_file("views", options.name or peers.machine())
    if not file.is_file():
        harness.write_result(file, measure(options, file.stem))
    print(f"{file.stem}: {file.relative_to(harness.HERE)}")


def _arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument(
        "--sides", type=int, nargs="+", default=[32, 96, 224], help="of the images, in pixels"
    )
    parser.add_argument("--batch", type=int, default=128, help="images a call up to 96 px; above, a quarter")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of the CPU")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each, each round, or one call")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", help="of the result; by default the machine's")
    parser.add_argument("--table", action="store_true", help="print the table of all finished runs")
    parser.add_argument("--worker", metavar="DEVICE", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """All settings, each in a process of its own."""
    import peers  # noqa: PLC0415

    origin, versions, gpu = harness.provenance(), peers.versions(), peers.accelerator()
    settings = [("cpu", threads) for threads in options.threads] + ([("cuda", 1)] if gpu else [])
    rows: list[dict[str, Any]] = []
    for device, threads in settings:
        command = [
            sys.executable,
            "-m",
            "benchmarks.pretrain.views",
            "--worker",
            device,
            "--threads",
            str(threads),
        ]
        for key in ("batch", "rounds", "seconds", "seed"):
            command += [f"--{key}", str(getattr(options, key))]
        command += ["--sides", *map(str, options.sides)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True)
        if done.returncode:
            sys.exit(f"{device} with {threads} threads ended with {done.returncode}")
        rows += json.loads(done.stdout.splitlines()[-1])
    return {
        "name": name,
        "command": harness.typed_command(),
        "environment": origin,
        "versions": versions,
        "accelerator": gpu,
        "seed": options.seed,
        "skipped": {key: f"{NEEDS[key]} is not installed" for key in NEEDS if not versions[NEEDS[key]]},
        "rows": rows,
    }


# --- in a process of its own


def work(options: argparse.Namespace) -> list[dict[str, Any]]:
    """One device and number of threads: every side, each kind of views."""
    import peers  # noqa: PLC0415
    import torch  # noqa: PLC0415

    from onlygood.pretrain.views.presets import crop_and_color  # noqa: PLC0415
    from onlygood.pretrain.views.views import Views  # noqa: PLC0415

    warnings.filterwarnings("ignore")
    device, threads = options.worker, options.threads[0]
    torch.set_num_threads(threads)
    peers.seed_all(options.seed)
    colors = crop_and_color().model_copy(update={"blur": 0.0})
    kinds = {
        "crop, flip": Views(scale=colors.scale),
        "crop, flip, colours": colors,
        "crop, flip, colours, blur": colors.model_copy(update={"blur": 0.5}),
    }
    rows = []
    for side in options.sides:
        batch = options.batch if side <= 96 else max(1, options.batch // 4)
        images = peers.rendered(batch, side, options.seed)
        for kind, views in list(kinds.items())[: 3 if side >= 96 else 2]:
            makers = contenders(views, side, device, options.seed)
            looks = look(makers, images)
            calls = {name: make(images) for name, make in makers.items()}
            rounds = take_turns(calls, batch, device, options.rounds, options.seconds)
            setting = {"device": device, "threads": threads, "side": side, "batch": batch, "views": kind}
            rows.append(setting | {"rounds": rounds, "output": looks})
            print(f"{device}, {threads} threads, {side} px, {kind}: done", file=sys.stderr)
    return rows


def contenders(views: Any, side: int, device: str, seed: int) -> dict[str, Any]:
    """By name: a function from uint8 images (B, H, W, C) to a call that gives views (B, C, side, side)."""
    import peers  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    from onlygood.pretrain.views.views import random_view  # noqa: PLC0415

    rng = torch.Generator(device).manual_seed(seed)

    def onlygood(images: Any) -> Callable[[], Any]:
        x = peers.channels_first(images).to(device)
        return lambda: random_view(x, "fixed", views, rng)

    def pillow(images: Any) -> Callable[[], Any]:
        chain = peers.pillow_views(views, side)
        return lambda: torch.stack([chain(Image.fromarray(image)) for image in images]).to(device)

    def tensor(images: Any) -> Callable[[], Any]:
        chain, x = peers.tensor_views(views, side), peers.channels_first(images).to(device)
        return lambda: torch.stack([chain(image) for image in x])

    def one_draw(images: Any) -> Callable[[], Any]:
        chain, x = peers.tensor_views(views, side), peers.channels_first(images).to(device)
        return lambda: chain(x)

    def kornia(cropping: str, images: Any) -> Callable[[], Any]:
        chain = peers.kornia_views(views, side, cropping).to(device)
        x = peers.channels_first(images).to(device)
        return lambda: chain(x.float() / 255)

    known = {
        "onlygood": onlygood,
        "torchvision-pillow": pillow,
        "torchvision-tensor": tensor,
        "kornia-slice": lambda images: kornia("slice", images),
        "kornia-resample": lambda images: kornia("resample", images),
        "torchvision-one-draw": one_draw,
    }
    installed = peers.versions()
    return {name: make for name, make in known.items() if name == "onlygood" or installed[NEEDS[name]]}


def look(makers: dict[str, Any], images: Any) -> dict[str, dict[str, float]]:
    """Statistics of everybody's output; ends the benchmark where somebody's are not those of such views."""
    looks: dict[str, dict[str, float]] = {}
    for name, make in makers.items():
        call = make(images)
        outputs = [call() for _ in range(8 if name == "torchvision-one-draw" else 1)]
        mean = statistics.fmean(float(x.mean()) for x in outputs)
        deviation = statistics.fmean(float(x.std()) for x in outputs)
        copies = make(images[:1].repeat(COPIES, axis=0))()
        distinct = len({image.cpu().numpy().tobytes() for image in copies})
        looks[name] = {"mean": round(mean, 3), "deviation": round(deviation, 3), "distinct": distinct}
        expected = 1 if name == "torchvision-one-draw" else COPIES
        sane = abs(mean) < 0.8 and 0.5 < deviation < 2 and distinct == expected
        if not sane or outputs[0].shape != (len(images), 3, *images.shape[1:3]):
            sys.exit(f"{name} at {images.shape[1]} px: these are not such views: {looks[name]}")
    return looks


def take_turns(
    calls: dict[str, Callable[[], Any]], batch: int, device: str, rounds: int, seconds: float
) -> dict[str, list[dict[str, float]]]:
    """Images a second by the clock, and CPU seconds of 1,000 images; each round begins with another one."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in calls}
    for turn in range(rounds):
        names = list(calls)[turn % len(calls) :] + list(calls)[: turn % len(calls)]
        for name in names:
            calls[name]()  # warm
            _wait(device)
            begin, begin_cpu, count = time.perf_counter(), time.process_time(), 0
            while count == 0 or time.perf_counter() - begin < seconds:
                calls[name]()
                _wait(device)
                count += batch
            took, took_cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
            rate, cpu = round(count / took, 1), round(1000 * took_cpu / count, 4)
            found[name].append({"images_per_second": rate, "cpu_seconds_per_1000": cpu})
    return found


def _wait(device: str) -> None:
    if device == "cuda":
        import torch  # noqa: PLC0415

        torch.cuda.synchronize()


# --- tables


def table(results: list[dict[str, Any]]) -> str:
    """Images a second, and the median ratio to each rival's, round by round: what slows a round divides out.

    The last two columns are ratios of the rivals' CPU time to onlygood's.
    """
    header = ["views", "onlygood, images/s", "least", "most", *(f"times {name}" for name in SHORT.values())]
    header += [f"CPU time: {SHORT[name]}" for name in ONE_BY_ONE]
    parts = []
    for result in results:
        origin = result["environment"]
        known = [f"{package} {number}" for package, number in result["versions"].items() if number]
        where = f"{result['accelerator']}, {origin['cpu']}" if result["accelerator"] else origin["cpu"]
        title = (
            f"{result['name']}: commit {origin['commit']}; {where}, {origin['cpus']} CPUs; {', '.join(known)}"
        )
        rows = [_line(row) for row in result["rows"]]
        skipped = "".join(f"\n\n{NAMES[key]}: {why}" for key, why in result["skipped"].items())
        parts.append(f"{title}\n\n{harness.markdown(header, rows)}{skipped}")
    return "\n\n".join(parts) or "no finished runs"


def _line(row: dict[str, Any]) -> list[str]:
    threads = "1 thread" if row["threads"] == 1 else f"{row['threads']} threads"
    where = "CUDA" if row["device"] == "cuda" else threads
    rates = {name: [one["images_per_second"] for one in rounds] for name, rounds in row["rounds"].items()}
    costs = {name: [one["cpu_seconds_per_1000"] for one in rounds] for name, rounds in row["rounds"].items()}
    ours = rates["onlygood"]
    cells = [f"{number:.0f}" for number in (statistics.median(ours), min(ours), max(ours))]
    cells += [_ratio(ours, rates.get(name)) for name in SHORT]
    cells += [_ratio(costs[name], costs["onlygood"]) if name in costs else "–" for name in ONE_BY_ONE]
    return [f"{row['side']} px, {where}: {row['views']}", *cells]


def _ratio(values: list[float], others: list[float] | None) -> str:
    if not others:
        return "–"
    return f"{statistics.median(a / b for a, b in zip(values, others, strict=True)):.1f}"


if __name__ == "__main__":
    main()
