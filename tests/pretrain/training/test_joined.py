"""Two processes train as one: the same losses, weights, queues, memories and clusters, but for rounding."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from tiny import fit, make, pictures
from torch import Tensor, distributed, nn

from onlygood.pretrain.tasks.base import Task
from onlygood.pretrain.training.checkpoint import FILE_NAME
from onlygood.pretrain.training.logs import FILE_NAME as LOG_NAME
from onlygood.pretrain.training.logs import read_rows
from onlygood.runtime.errors import Interrupted

SHARED = (
    "rotation",
    "simclr",  # negatives of the whole batch
    "moco",  # a queue, a slow copy, batch norm of groups
    "instance-discrimination",  # a memory of each image
    "deepcluster-v2",  # clusters of all images
    "defect-maps",  # maps of several stages
)
ALONE = "mae"  # shows the encoder tokens, in a way of its own: each process computes all
SETTINGS: dict[str, Any] = {"steps": 4, "batch_size": 9, "lr": 0.05}  # an odd batch, of 17 images


class Trained(NamedTuple):
    """A training: the state before, after the first step and at the end, and what the encoder was shown."""

    before: dict[str, Tensor]
    first: dict[str, Tensor]
    last: dict[str, Tensor]
    seen: list[int]  # views in each call of its first convolution


def trained(name: str, out: Path, *, resume: bool = False, stop: int = 0) -> Trained:
    task, seen = make(name), []
    after_step, states = task.after_step, [copied(task)]

    def then(progress: float) -> None:
        after_step(progress)
        states.append(copied(task))
        if len(states) == stop + 1:
            os.kill(os.getpid(), signal.SIGTERM)

    def note(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen.append(len(given[0]))

    task.after_step = then  # type: ignore[method-assign]
    stem = next(part for part in task.encoder.modules() if isinstance(part, nn.Conv2d))
    with stem.register_forward_pre_hook(note):
        fit(task, out, pictures(name, 17), resume=resume, **SETTINGS)
    return Trained(states[0], states[1], copied(task), seen)


def copied(task: Task) -> dict[str, Tensor]:
    assert not any(value.requires_grad for value in task.buffers())  # else they hold every step's graph
    return {name: value.clone() for name, value in task.state_dict().items()}


def one_of_two(out: Path) -> None:
    """What each of two processes does, in a folder of its own."""
    rank = int(os.environ["RANK"])
    for name in (*SHARED, ALONE):
        torch.save(trained(name, out / f"{rank}-{name}")._asdict(), out / f"{rank}-{name}.pt")
    with pytest.raises(Interrupted):  # the second is told
        trained("moco", out / f"{rank}-stopped", stop=2 * rank or 9)
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with what two processes have trained."""
    out = tmp_path_factory.mktemp("both")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    code = f"import sys, pathlib; sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}\n"
    code += f"import test_joined; test_joined.one_of_two(pathlib.Path({str(out)!r}))"
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    shared |= {"ACCELERATE_USE_CPU": "true"}
    started = [
        subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", code],
            env={**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
        )
        for rank in "01"
    ]
    errors = [process.communicate(timeout=600)[1].decode() for process in started]
    assert [process.returncode for process in started] == [0, 0], "\n".join(errors)
    threads = torch.get_num_threads()
    yield out
    torch.set_num_threads(threads)


def alike(
    found: dict[str, Tensor], expected: dict[str, Tensor], before: dict[str, Tensor], most: float
) -> None:
    """What differs is at most the share ``most`` of what the training has moved."""
    for name, value in expected.items():
        if value.is_floating_point():
            moved = (value - before[name]).norm()
            assert (found[name] - value).norm() <= most * moved + 1e-6, name
        else:
            assert torch.equal(found[name], value), name


@pytest.mark.parametrize("name", [*SHARED, ALONE])
def test_two_processes_learn_what_one_learns(name: str, both: Path, tmp_path: Path) -> None:
    """After one step but for rounding; later a value near the kink of a ReLU may fall to either side."""
    one = trained(name, tmp_path)
    two, other = (Trained(**torch.load(both / f"{rank}-{name}.pt", weights_only=True)) for rank in (0, 1))
    assert all(torch.equal(value, other.last[key]) for key, value in two.last.items())
    alike(two.first, one.first, one.before, 1e-3)
    alike(two.last, one.last, one.before, 0.1)
    losses = [[row["loss"] for row in read_rows(out / LOG_NAME)] for out in (tmp_path, both / f"0-{name}")]
    np.testing.assert_allclose(losses[1][:2], losses[0][:2], rtol=1e-5)
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-2)
    if name == ALONE:
        assert two.seen[:4] == other.seen[:4] == one.seen[:4]  # after the steps come plain images
    else:
        assert [a + b for a, b in zip(two.seen, other.seen, strict=True)] == one.seen
        assert all(abs(a - b) <= 1 for a, b in zip(two.seen, other.seen, strict=True))


def test_only_the_first_writes(both: Path) -> None:
    assert (both / "0-simclr" / FILE_NAME).is_file()
    assert [path for path in both.glob("1-*/**/*") if path.is_file()] == []


def test_one_process_goes_on_where_two_stopped(both: Path, tmp_path: Path) -> None:
    whole = trained("moco", tmp_path)
    assert len(read_rows(both / "0-stopped" / LOG_NAME)) == 3  # the step after the signal
    rest = trained("moco", both / "0-stopped", resume=True)
    assert len(read_rows(both / "0-stopped" / LOG_NAME)) == SETTINGS["steps"]
    alike(rest.last, whole.last, whole.before, 0.1)
