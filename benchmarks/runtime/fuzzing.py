"""Answers of a child process to numbered inputs, where even a crash or a hang of the child is an answer."""

import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

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
