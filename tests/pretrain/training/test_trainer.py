"""The training loop on a toy task whose state has every kind: weights, batch statistics, a queue, dropout."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import toy
from numpy.typing import NDArray
from torch import Tensor
from toy import FakeStore, Toy, break_weights, config, run, same, send

from onlygood.pretrain.tasks.base import TaskOutput
from onlygood.pretrain.training.checkpoint import FILE_NAME, load_checkpoint
from onlygood.pretrain.training.logs import read_rows
from onlygood.pretrain.training.trainer import train
from onlygood.runtime.errors import Interrupted, OnlygoodError


def other_process(function: str, out: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Run ``function(out)`` of this file in a process of its own."""
    folders = [str(Path(file).parent) for file in (__file__, toy.__file__)]
    code = f"import sys, pathlib; sys.path[:0] = {folders!r}; import test_trainer\n"
    code += f"test_trainer.{function}(pathlib.Path({str(out)!r}))"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE)  # noqa: S603


def kill_at_step_4(out: Path) -> None:
    run(Toy({4: send(signal.SIGKILL)}), out, checkpoint_minutes=0)


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_and_resumed_is_bit_for_bit_the_uninterrupted_run(
    tmp_path: Path, optimizer: str, precision: str, number: int
) -> None:
    settings = {"optimizer": optimizer, "precision": precision}
    whole = Toy()
    expected = run(whole, tmp_path / "whole", **settings)

    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    first = Toy({2: send(number)})
    with pytest.raises(Interrupted, match=r"step 3 \(50%\)"):
        run(first, tmp_path / "parts", **settings)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
    second = Toy(seed=1)
    result = run(second, tmp_path / "parts", resume=True, **settings)

    assert same(whole, second)
    assert first.seen + second.seen == whole.seen
    assert first.told + second.told == whole.told
    assert result.steps == expected.steps == 6
    numbers = ["step", "lr", "loss", "accuracy", "spread"]
    rows = [[[row[n] for n in numbers] for row in read_rows(r.log)] for r in (expected, result)]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 6


def test_killed_without_warning_and_resumed_is_the_uninterrupted_run(tmp_path: Path) -> None:
    """SIGKILL in another process within step 4: the last checkpoint is that of step 3."""
    killed = other_process("kill_at_step_4", tmp_path / "parts")
    errors = killed.communicate(timeout=100)[1].decode()
    assert killed.returncode == -signal.SIGKILL, errors
    assert load_checkpoint(tmp_path / "parts" / FILE_NAME).scalars["step"] == 3
    whole, second = Toy(), Toy(seed=1)
    run(whole, tmp_path / "whole")
    run(second, tmp_path / "parts", resume=True)
    assert same(whole, second)


def test_same_seed_same_numbers_other_seed_others(tmp_path: Path) -> None:
    tasks = [Toy(), Toy(), Toy()]
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    for i, (task, seed) in enumerate(zip(tasks, [3, 3, 4], strict=True)):
        run(task, tmp_path / str(i), seed=seed)
        torch.rand(i)  # the global generator is no input
    torch.manual_seed(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert same(tasks[0], tasks[1])
    assert not same(tasks[0], tasks[2])


def test_resume_of_a_finished_run_restores_it(tmp_path: Path) -> None:
    first, second = Toy(), Toy(seed=1)
    done = run(first, tmp_path, resume=True)  # nothing there yet: starts
    again = run(second, tmp_path, resume=True)
    assert same(first, second)
    assert second.seen == []
    assert (again.steps, again.metrics, again.seconds) == (6, done.metrics, done.seconds)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0.2}, r"train\.lr was 0\.05, is 0\.2"),
        ({"store": FakeStore(fingerprint="xyz")}, "images was abc, is xyz"),
        ({"store": FakeStore(hashes="1023456789")}, "order of images: not the same"),  # files were renamed
        ({"steps": 7, "seed": 9}, r"train\.seed was 3, is 9; train\.steps was 6, is 7"),
    ],
)
def test_resume_with_something_else_names_it(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    run(Toy(), tmp_path)
    with pytest.raises(OnlygoodError, match=message):
        run(Toy(), tmp_path, resume=True, **change)
    run(Toy(), tmp_path, resume=True, log_every=5, checkpoint_minutes=3)  # these may change
    with pytest.raises(OnlygoodError, match="already holds a training run"):
        run(Toy(), tmp_path)


def test_minutes_count_over_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock on which every step takes a second, 0.1 minutes are 6 steps."""
    clock = SimpleNamespace(perf_counter=count(1000.0).__next__, process_time=count(5.0).__next__)
    monkeypatch.setattr("onlygood.pretrain.training.trainer.time", clock)
    first, second = Toy({2: send(signal.SIGTERM)}), Toy()
    with pytest.raises(Interrupted):
        run(first, tmp_path, steps=None, minutes=0.1)
    result = run(second, tmp_path, resume=True, steps=None, minutes=0.1)
    assert first.told + second.told == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1])
    assert (result.steps, result.seconds, result.cpu_seconds) == (6, 6.0, 6.0)
    assert result.images_per_second == 4


def test_a_nan_loss_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    def nan_queue(task: Toy) -> None:
        task.queue.fill_(float("nan"))

    with pytest.raises(OnlygoodError, match=r"loss became nan at step 5 .*keeps step 4\. Try lr 0\.017"):
        run(Toy({4: nan_queue}), tmp_path, checkpoint_minutes=0)
    assert load_checkpoint(tmp_path / FILE_NAME).scalars["step"] == 4


def test_the_step_of_a_nan_is_known_although_it_is_looked_for_later(tmp_path: Path) -> None:
    with pytest.raises(OnlygoodError, match=r"loss became nan at step 3 .*no checkpoint was due"):
        run(Toy({2: break_weights}), tmp_path, log_every=5)
    assert not (tmp_path / FILE_NAME).exists()


def test_broken_weights_are_never_saved(tmp_path: Path) -> None:
    with pytest.raises(OnlygoodError, match=r"weights are no longer finite at step 3.*keeps step 2"):
        run(Toy({3: break_weights}), tmp_path, checkpoint_minutes=0)
    checkpoint = load_checkpoint(tmp_path / FILE_NAME)
    assert all(t.isfinite().all() for t in checkpoint.tensors.values())


def test_no_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OnlygoodError, match="no images"):
        train(Toy(), FakeStore(), config(), tmp_path, ids=np.array([], dtype=np.int64))


def test_epochs_are_permutations_and_batches_full(tmp_path: Path) -> None:
    task = Toy()
    run(task, tmp_path)  # 10 images, batches of 4: 3 steps an epoch
    assert [len(ids) for ids in task.seen] == [4] * 6
    epochs = [list(chain(*task.seen[:3])), list(chain(*task.seen[3:]))]
    for epoch in epochs:
        assert sorted(epoch[:10]) == list(range(10))
        assert epoch[10:] == epoch[:2]
    assert epochs[0] != epochs[1]
    assert [epoch for epoch, _ in task.epochs] == [0, 1]
    assert task.told == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1])


@pytest.mark.parametrize(("images", "batch"), [(3, 3), (8, 8), (20, 8), (2, 2)])
def test_no_batch_holds_an_image_twice(tmp_path: Path, images: int, batch: int) -> None:
    """Copies would be each other's negatives, and the chance that health is judged by would be wrong."""
    task = Toy()
    result = run(task, tmp_path, store=FakeStore(images, hashes="x" * images), steps=7, batch_size=8)
    assert [len(seen) for seen in task.seen] == [batch] * 7
    assert all(len(set(seen)) == batch for seen in task.seen)
    assert result.steps == 7


def test_a_shrunk_batch_resumes_as_any_other(tmp_path: Path) -> None:
    whole, first, second = Toy(), Toy({2: send(signal.SIGTERM)}), Toy(seed=1)
    run(whole, tmp_path / "whole", store=FakeStore(3, hashes="abc"), steps=4, batch_size=64)
    with pytest.raises(Interrupted):
        run(first, tmp_path / "parts", store=FakeStore(3, hashes="abc"), steps=4, batch_size=64)
    run(second, tmp_path / "parts", store=FakeStore(3, hashes="abc"), steps=4, batch_size=64, resume=True)
    assert same(whole, second)


def test_embed_is_in_order_in_eval_mode_and_leaves_no_trace(tmp_path: Path) -> None:
    fresh = Toy().eval()
    task = Toy()
    store = FakeStore()
    run(task, tmp_path, store=store, steps=1)
    with torch.no_grad():
        expected = fresh.embed(torch.from_numpy(store.pixels).permute(0, 3, 1, 2))
    assert torch.allclose(task.epochs[0][1], expected, atol=1e-6)
    assert task.epochs[0][1].dtype == torch.float32


def test_a_subset_is_numbered_from_zero(tmp_path: Path) -> None:
    seen: dict[int, int] = {}

    class Watch(Toy):
        def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
            seen.update(zip(ids.tolist(), images[:, 0, 0, 0].tolist(), strict=True))
            return super().loss(images, ids, rng)

    train(Watch(), FakeStore(), config(), tmp_path, ids=np.array([7, 2, 9]), progress=False)
    assert seen == {0: 7, 1: 2, 2: 9}


def test_errors_of_the_reading_thread_reach_the_caller(tmp_path: Path) -> None:
    class Broken(FakeStore):
        def batch(self, ids: NDArray[np.int64]) -> NDArray[np.uint8]:
            if len(ids) == 4:
                raise OnlygoodError("the cache was deleted")
            return super().batch(ids)

    with pytest.raises(OnlygoodError, match="cache was deleted"):
        train(Toy({}), Broken(8), config(batch_size=4), tmp_path, progress=False)


def test_weight_decay_reaches_the_groups(tmp_path: Path) -> None:
    """Nothing but decay acts on a weight without gradient; biases have none, a group may have its own."""

    class Still(Toy):
        def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
            return TaskOutput(0.0 * sum(p.sum() for p in self.parameters()))

        def param_groups(self) -> list[dict[str, Any]]:
            groups = super().param_groups()
            return [{**groups[0], "weight_decay": 0.5}, *groups[1:]]

    task, before = Still(), Toy()
    run(task, tmp_path, steps=1, lr=0.1, weight_decay=1.0, momentum=0, warmup=0)
    ratio = task.classifier.weight / before.classifier.weight
    assert torch.allclose(ratio, torch.full_like(ratio, 1 - 0.1 * 0.5))
    assert torch.equal(task.classifier.bias, before.classifier.bias)
    assert torch.equal(task.encoder.norm.weight, before.encoder.norm.weight)


@pytest.mark.parametrize(("unit", "chosen"), [("amx_bf16", "bf16"), ("", "fp32")])
def test_precision_is_chosen_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit: str, chosen: str
) -> None:
    """A resume elsewhere goes on in the precision of the start: half a training in each would be neither."""
    monkeypatch.setattr("onlygood.pretrain.training.precision.bf16_unit", lambda device: unit)
    probed = Toy({2: send(signal.SIGTERM)})
    with pytest.raises(Interrupted):
        run(probed, tmp_path / "auto", precision="auto")
    assert probed.count == 3  # the trial steps left no trace
    monkeypatch.setattr(
        "onlygood.pretrain.training.precision.bf16_unit", lambda device: "" if unit else "amx_bf16"
    )
    resumed, plain = Toy(), Toy()
    result = run(resumed, tmp_path / "auto", precision="auto", resume=True)
    assert result.precision == chosen
    assert (unit or "no bf16 instructions") in result.precision_reason
    assert run(plain, tmp_path / "plain", precision=chosen).precision_reason == "as configured"
    assert same(resumed, plain)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_and_is_known_by_its_code(tmp_path: Path, number: int) -> None:
    with pytest.raises(Interrupted, match="stopped at step 3") as caught:
        run(Toy({2: send(number)}), tmp_path)
    assert caught.value.code == 128 + number
    resumed, plain = Toy(), Toy()
    run(resumed, tmp_path, resume=True)
    run(plain, tmp_path / "plain")
    assert same(resumed, plain)


def test_log_rows_are_means_since_the_last_row(tmp_path: Path) -> None:
    each = read_rows(run(Toy(), tmp_path / "each", log_every=1).log)
    pairs = read_rows(run(Toy(), tmp_path / "pairs", log_every=2).log)
    assert [row["step"] for row in pairs] == [2, 4, 6]
    for i, row in enumerate(pairs):
        for name in ("loss", "accuracy"):
            assert row[name] == pytest.approx((each[2 * i][name] + each[2 * i + 1][name]) / 2, rel=1e-5)


def test_health_warnings_come_with_the_result(tmp_path: Path) -> None:
    result = run(Toy(), tmp_path, lr=1e-6)
    assert any("guessing" in warning for warning in result.warnings)
    assert result.metrics["step"] == 6
    assert 0 <= result.data_wait <= 1


def one_of_two(out: Path) -> None:
    """Train until one of the two gets a signal in step 3, resume, save the state to compare."""
    rank = int(os.environ["RANK"])
    with pytest.raises(Interrupted, match="step 4"):
        run(Toy({3: send(signal.SIGTERM)} if rank == 1 else {}), out, steps=8)
    task = Toy(seed=rank)
    run(task, out, steps=8, resume=True)
    torch.save(task.state_dict(), out / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_end_with_the_same_state_and_stop_together(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = [other_process("one_of_two", tmp_path, RANK=r, LOCAL_RANK=r, **shared) for r in "01"]
    errors = [process.communicate(timeout=600)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    a, b = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert a["count"] == 8
