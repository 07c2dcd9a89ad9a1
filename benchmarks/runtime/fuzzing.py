"""Fuzzing: a child process answers to numbered inputs, and even its crash or hang is an answer."""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

BATCH = 2000  # inputs that a child answers for
LIVING = 120.0  # seconds without a word after which a child hangs: machines are shared


class Answer(NamedTuple):
    """What became of an input; ``said`` begins with "FAILURE" where it should not have been so."""

    number: int
    which: int  # seed that the input was made from
    said: str
    seconds: float  # CPU time
    megabytes: int  # peak of the child so far


Make = Callable[[int], tuple[int, bytes]]  # of an input's number: which seed it comes from, and its bytes
Say = Callable[[bytes, int], str]  # of the bytes and the number: what became of it
Prepare = Callable[[int, list[Path]], tuple[Make, Say]]  # in the child, by the seed and further files


@dataclass(frozen=True)
class Campaign:
    """What is fuzzed, and what is a failure."""

    typed: str  # the command that runs it
    prepare: Prepare
    seeds: Callable[[list[Path]], dict[str, bytes]]  # by name; with further files
    general: Callable[[str], str]  # a reason without what differs from input to input, to be counted
    fine: str  # what is said of an input that was taken
    inputs: int  # by default
    seconds: float  # CPU time that an input may take
    megabytes: int  # that the process may hold at its peak
    libraries: Callable[[], dict[str, Any]]  # what is tried, with versions


def run(campaign: Campaign) -> NoReturn:
    """Take the command line, fuzz, write what was found; the exit code is 1 if there was a failure."""
    parser = argparse.ArgumentParser(prog=campaign.typed)
    parser.add_argument("--inputs", type=int, default=campaign.inputs)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="seeds from elsewhere")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    names = list(campaign.seeds(options.more))
    said: Counter[str] = Counter()
    fine: Counter[str] = Counter()
    failures: list[dict[str, Any]] = []
    slowest: list[tuple[float, int, str]] = []
    peak, number, begin = 0, 0, time.monotonic()
    for found in answers(
        campaign.prepare,
        inputs=options.inputs,
        seed=options.seed,
        more=options.more,
        seconds=campaign.seconds,
        megabytes=campaign.megabytes,
    ):
        name, number, peak = names[found.which], found.number + 1, max(peak, found.megabytes)
        if found.said.startswith("FAILURE"):
            failures.append({"input": found.number, "seed": name, "what": found.said})
            print(failures[-1], flush=True)
        said[campaign.general(found.said)] += 1
        fine[name] += found.said == campaign.fine
        slowest = sorted([*slowest, (round(found.seconds, 3), found.number, name)], reverse=True)[:5]
        if number % BATCH == 0:
            print(f"{number} inputs, {fine.total()} taken, {len(failures)} failures", flush=True)
    said.pop(campaign.fine, None)
    result = {
        "command": f"{campaign.typed} --inputs {options.inputs} --seed {options.seed}",
        "inputs": number,
        "taken": fine.total(),
        "failures": failures,
        "largest_cpu_seconds": slowest,
        "peak_megabytes": peak,
        "minutes": round((time.monotonic() - begin) / 60, 1),
        "python": platform.python_version(),
        "libraries": campaign.libraries(),
        "reasons": dict(said.most_common()),
        "taken_by_seed": dict(sorted(fine.items())),
    }
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.exit(1 if failures else 0)


def answers(
    prepare: Prepare, *, inputs: int, seed: int, more: list[Path], seconds: float, megabytes: int
) -> Iterator[Answer]:
    """One for each input, in their order; more CPU time or memory than this is a failure."""
    context = multiprocessing.get_context("spawn")
    number = 0
    while number < inputs:
        ours, theirs = context.Pipe(duplex=False)
        last = min(number + BATCH, inputs)
        child = context.Process(target=_work, args=(prepare, range(number, last), seed, more, theirs))
        child.start()
        theirs.close()
        which = 0
        while number < last:
            try:
                if not ours.poll(LIVING):
                    raise EOFError("it hangs")
                answer = Answer(*ours.recv())
            except EOFError as error:
                child.kill()
                answer = Answer(number, which, f"FAILURE: the process died: {error}", 0.0, 0)
            which = answer.which
            if not answer.said:  # it begins
                continue
            if not answer.said.startswith("FAILURE") and (
                answer.seconds > seconds or answer.megabytes > megabytes
            ):
                answer = answer._replace(said=f"FAILURE: took {answer.seconds:.1f} s, {answer.megabytes} MB")
            yield answer
            number += 1
            if "died" in answer.said:
                break
        child.join(30)


def _work(prepare: Prepare, numbers: range, seed: int, more: list[Path], link: Connection) -> None:
    """Answer for these inputs; what appears on file descriptors 1 and 2 is a failure."""
    make, say = prepare(seed, more)
    with tempfile.TemporaryFile() as errors:
        for descriptor in (1, 2):
            os.dup2(errors.fileno(), descriptor)
        printed = 0
        for number in numbers:
            which, data = make(number)
            link.send((number, which, "", 0.0, 0))
            start = time.process_time()
            said = say(data, number)
            seconds = time.process_time() - start
            sys.stdout.flush()
            size = os.fstat(errors.fileno()).st_size
            if size > printed:
                said, printed = f"FAILURE: printed {os.pread(errors.fileno(), 200, printed)!r}", size
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000
            link.send((number, which, said, seconds, peak))
    link.close()
