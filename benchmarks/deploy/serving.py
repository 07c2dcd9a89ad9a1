"""`onlygood serve` under load, under attack, told to stop, and given new models.

    python -m benchmarks.deploy.serving MODEL IMAGE load
    python -m benchmarks.deploy.serving MODEL IMAGE hostile --uploads 10000
    python -m benchmarks.deploy.serving MODEL IMAGE stop --rounds 20
    python -m benchmarks.deploy.serving MODEL IMAGE reload --seconds 30
    python -m benchmarks.deploy.serving --table

``load`` needs wrk. Each writes ``results/serving/<part>_<model>.json``. All traffic stays on the loopback
interface.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import (
    markdown,
    onlygood,
    provenance,
    read_results,
    result_file,
    typed_command,
    write_result,
)

BOUNDARY = "----the-boundary"
CONNECTIONS = 8


# --- servers


@contextmanager
def running(
    command: list[str], port: int, log: Path, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A server on ``port``, once it answers."""
    with log.open("wb") as out:
        child = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | environment)
        try:
            for _ in range(600):
                if child.poll() is not None:
                    sys.exit(f"{command} ended with {child.returncode}: {log.read_text()[-2000:]}")
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield child
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ours(model: Path, port: int, *more: str) -> list[str]:
    return onlygood("serve", str(model), "--port", str(port), *more)


def peer(name: str, port: int) -> list[str]:
    script = f"benchmarks.deploy.serving_peers:{name}"
    return [sys.executable, "-m", "uvicorn", script, "--port", str(port)]


def peak_mb(child: subprocess.Popen[bytes]) -> float:
    """The most memory that the process held."""
    status = Path(f"/proc/{child.pid}/status").read_text()
    return round(int(status.partition("VmHWM:")[2].split()[0]) / 1000, 1)


# --- a client that knows what it lost


def request_of(body: bytes, kind: str, port: int) -> bytes:
    head = f"POST /score HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def form_of(image: bytes) -> tuple[bytes, str]:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n'
    body = head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + image
    return body + f"\r\n--{BOUNDARY}--\r\n".encode(), f"multipart/form-data; boundary={BOUNDARY}"


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """Code, body, and whether the connection stays open."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    fields = dict(line.partition(": ")[::2] for line in lines[1:] if line)
    body = await reader.readexactly(int(fields.get("content-length", "0")))
    return int(lines[0].split()[1]), body, fields.get("connection") != "close"


async def client(port: int, message: bytes, until: asyncio.Event, seen: list[tuple[str, bytes]]) -> None:
    """Post again and again; note each request as answered, refused (never taken) or lost."""
    reader = writer = None
    while not until.is_set():
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            seen.append(("refused", b""))
            return
        try:
            writer.write(message)
            await writer.drain()
            code, body, keep = await answer_of(reader)
            seen.append((str(code), body))
        except (OSError, asyncio.IncompleteReadError):
            seen.append(("lost", b""))
            keep = False
        if not keep:
            writer.close()
            reader = writer = None
    if writer is not None:
        writer.close()


# --- the parts


def load(model: Path, image: bytes, work: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Requests a second and latencies, ours and the scripts' in turns."""
    wrk = shutil.which("wrk") or sys.exit("install wrk for this")
    form, kind = form_of(image)
    octets = "application/octet-stream"
    bodies = {"raw": (image, octets), "form": (form, kind)}
    for name, (body, content_type) in bodies.items():
        (work / f"{name}.body").write_bytes(body)
        (work / f"{name}.lua").write_text(
            'wrk.method = "POST"\n'
            f'wrk.headers["Content-Type"] = "{content_type}"\n'
            f'local file = io.open("{work / name}.body", "rb")\n'
            'wrk.body = file:read("*a")\n'
            "done = function(all, latency)\n"
            "  local e = all.errors\n"
            "  local bad = e.status + e.connect + e.read + e.write + e.timeout\n"
            "  local middle, slow = latency:percentile(50), latency:percentile(99)\n"
            "  io.write(string.format("
            '"numbers: %d %d %d %d %d\\n", all.requests, all.duration, middle, slow, bad))\nend\n'
        )
    variants = {
        "onlygood, raw": ("ours", "raw"),
        "onlygood, form": ("ours", "form"),
        "script on the event loop, raw": ("raw", "raw"),
        "script in threads, raw": ("threads", "raw"),
    }
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in variants}
    for _ in range(args.rounds or 3):
        for name, (server, script) in variants.items():
            port = free_port()
            command = ours(model, port) if server == "ours" else peer(server, port)
            with running(command, port, work / "log", MODEL=str(model)):
                target = [f"http://127.0.0.1:{port}/score", "-s", str(work / f"{script}.lua")]
                common = [wrk, "-t1", f"-c{CONNECTIONS}"]
                subprocess.run([*common, "-d2s", *target], check=True, capture_output=True)  # warm
                seconds = args.seconds or 10
                out = subprocess.run(
                    [*common, f"-d{seconds:g}s", *target], check=True, capture_output=True, text=True
                ).stdout
            values = [int(word) for word in out.partition("numbers:")[2].split()]
            rounds[name].append(
                {
                    "requests_per_second": round(values[0] / values[1] * 1e6, 1),
                    "p50_ms": values[2] / 1000,
                    "p99_ms": values[3] / 1000,
                    "errors": values[4],
                }
            )
            print(name, rounds[name][-1])
    middle = {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]}
        for name, found in rounds.items()
    }
    return {"connections": CONNECTIONS, "bytes": len(image), "median": middle, "rounds": rounds}


def hostile(model: Path, image: bytes, work: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Uploads that mean harm, or nothing: what is answered, and does the server live?"""
    from benchmarks.deploy.serving_hostile import attack  # noqa: PLC0415 - needs the seeds of the tests

    port = free_port()
    with running(ours(model, port, "--quiet"), port, work / "log") as child:
        before = asyncio.run(_once(port, image))
        codes = asyncio.run(attack(port, args.uploads, image))
        after = asyncio.run(_once(port, image))
        alive = child.poll() is None
        peak = peak_mb(child)
    return {
        "uploads": args.uploads,
        "answers": {kind: dict(sorted(found.items())) for kind, found in codes.items()},
        "alive": alive,
        "same_score_before_and_after": before == after,
        "peak_rss_mb": peak,
        "faults_in_log": (work / "log").read_text().count('"fault"'),
    }


async def _once(port: int, image: bytes) -> float:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request_of(image, "application/octet-stream", port))
    _, body, _ = await answer_of(reader)
    writer.close()
    return float(json.loads(body)["rows"][0]["score"])


def stop(model: Path, image: bytes, work: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Kill -TERM under load: is every request that was sent on an open connection answered?"""
    seen: Counter[str] = Counter()
    exits: Counter[int] = Counter()
    for _ in range(args.rounds or 20):
        port = free_port()
        with running(ours(model, port, "--quiet", "--drain", "0.5"), port, work / "log") as child:
            seen += Counter(code for code, _ in asyncio.run(_stopped(port, image, child)))
            exits[child.wait(60)] += 1
    return {
        "rounds": args.rounds or 20,
        "clients": 2 * CONNECTIONS,
        "requests": dict(seen),
        "exits": dict(exits),
    }


async def _stopped(port: int, image: bytes, child: subprocess.Popen[bytes]) -> list[tuple[str, bytes]]:
    """Half of the clients keep their connections, the others open one for each request."""
    until, seen = asyncio.Event(), list[tuple[str, bytes]]()
    message = request_of(image, "application/octet-stream", port)
    single = message.replace(b"\r\nContent-Type", b"\r\nConnection: close\r\nContent-Type", 1)
    clients = [
        asyncio.create_task(client(port, single if number % 2 else message, until, seen))
        for number in range(2 * CONNECTIONS)
    ]
    await asyncio.sleep(1)
    child.send_signal(signal.SIGTERM)
    await asyncio.wait(clients, timeout=60)
    until.set()
    return seen


def reload(model: Path, image: bytes, work: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Two models take turns in one file: is every request answered, by one of them, with its own score?"""
    from onlygood.runtime.model.modelfile import load_model, seal  # noqa: PLC0415

    other = work / "other.onnx"
    data = bytearray(model.read_bytes())
    name = load_model(model).metadata.name.encode()
    at = data.index(b'"name":"' + name) + 8
    data[at] = ord("X")  # another name, and so another seal and another sha256
    other.write_bytes(seal(bytes(data)))
    target, port = work / "model.onnx", free_port()
    shutil.copy(model, target)
    with running(ours(target, port, "--quiet", "--reload-every", "0.2"), port, work / "log"):
        seen, swaps = asyncio.run(_reloaded(port, image, target, [other, model], args.seconds or 30))
    answers = [json.loads(body) for code, body in seen if code == "200"]
    return {
        "seconds": args.seconds or 30,
        "clients": CONNECTIONS,
        "swaps": swaps,
        "requests": dict(Counter(code for code, _ in seen)),
        "answers_by_model": sorted(Counter(answer["sha256"][:8] for answer in answers).values()),
        "scores": len({answer["rows"][0]["score"] for answer in answers}),
    }


async def _reloaded(
    port: int, image: bytes, target: Path, models: list[Path], seconds: float
) -> tuple[list[tuple[str, bytes]], int]:
    until, seen, swaps = asyncio.Event(), list[tuple[str, bytes]](), 0
    message = request_of(image, "application/octet-stream", port)
    clients = [asyncio.create_task(client(port, message, until, seen)) for _ in range(CONNECTIONS)]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.sleep(0.7)
        fresh = target.with_suffix(".new")
        if swaps % 3 == 2:  # in place, in two halves: a reader may see half a file
            data = models[swaps % 2].read_bytes()
            with target.open("wb") as file:
                file.write(data[: len(data) // 2])
                file.flush()
                await asyncio.sleep(0.1)
                file.write(data[len(data) // 2 :])
        else:
            shutil.copy(models[swaps % 2], fresh)
            fresh.replace(target)
        swaps += 1
    until.set()
    await asyncio.gather(*clients)
    return seen, swaps


# --- results


def table() -> None:
    rows = [
        [
            f"{name}, {result['model']}",
            *(f"{values[key]:.1f}" for key in ("requests_per_second", "p50_ms", "p99_ms")),
        ]
        for result in read_results("serving")
        if result["part"] == "load"
        for name, values in result["result"]["median"].items()
    ]
    print(markdown(["server", "requests/s", "p50, ms", "p99, ms"], rows))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("image", type=Path, nargs="?")
    parser.add_argument("part", choices=["load", "hostile", "stop", "reload"], nargs="?")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--uploads", type=int, default=10_000)
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    if args.table:
        table()
        return
    if args.part is None:
        parser.error("give a model, an image and a part")
    begin, about = time.time(), provenance()
    parts = {"load": load, "hostile": hostile, "stop": stop, "reload": reload}
    with tempfile.TemporaryDirectory() as folder:
        result = parts[args.part](args.model.resolve(), args.image.read_bytes(), Path(folder), args)
    command = typed_command(args.model, args.image)
    whole = {"part": args.part, "model": args.model.stem, "command": command, "provenance": about}
    whole |= {"numpy": np.__version__, "wall_seconds": round(time.time() - begin, 1), "result": result}
    write_result(result_file("serving", f"{args.part}_{args.model.stem}"), whole)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
