"""The parts of the training loop, each by itself: settings, order of images, signals, seeds, log."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from onlygood.pretrain.tasks.base import Task, TaskOutput
from onlygood.pretrain.training.config import TrainConfig
from onlygood.pretrain.training.feed import Feed
from onlygood.pretrain.training.logs import TrainLog, read_rows, status
from onlygood.pretrain.training.precision import bf16_unit, choose, sound_in_bf16
from onlygood.pretrain.training.process import mix, stop_requests
from onlygood.runtime.errors import OnlygoodError


class Numbers:
    """Images of one pixel: their number."""

    fingerprint = "numbers"

    def __init__(self) -> None:
        self.hashes = list("0123456789")

    def __len__(self) -> int:
        return 10

    def batch(self, ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        return ids.astype(np.uint8).reshape(-1, 1, 1, 1)


def feed() -> Feed:
    """Batches of 4 of images 0, 2, 4, 6, 8."""
    return Feed(Numbers(), np.arange(0, 10, 2), 4, 0, torch.device("cpu"))


def test_batches_start_anywhere() -> None:
    whole, late = feed().batches(0), feed().batches(3)
    for _ in range(3):
        next(whole)
    for _ in range(4):
        (images, positions), (others, same) = next(whole), next(late)
        assert torch.equal(images, others)
        assert torch.equal(positions, same)
        assert images.flatten().tolist() == [2 * position for position in positions.tolist()]


def test_schedule_by_hand() -> None:
    c = TrainConfig(steps=100, lr=2.0, warmup=0.2)
    assert [c.lr_at(p) for p in (0, 0.1, 0.2, 0.6, 1)] == pytest.approx([0.02, 1.0, 2.0, 1.0, 0.0])
    assert (c.progress(25, 999.0), c.progress(120, 0.0)) == (0.25, 1.0)
    assert TrainConfig(minutes=2).progress(10**6, 30.0) == 0.25


def test_config_defaults_and_errors() -> None:
    assert TrainConfig().steps == 2000
    assert TrainConfig(minutes=1).steps is None
    assert (TrainConfig(optimizer="adamw").lr, TrainConfig(optimizer="adamw", lr=0.3).lr) == (1e-3, 0.3)
    with pytest.raises(OnlygoodError, match="steps or minutes, not both"):
        TrainConfig.parse({"steps": 5, "minutes": 1}, "recipe")
    with pytest.raises(OnlygoodError, match="did you mean 'batch_size'"):
        TrainConfig.parse({"batchsize": 3}, "recipe")


@pytest.mark.parametrize(
    ("batch", "images", "expected"),
    [(96, 1000, 96), (96, 96, 96), (96, 40, 40), (96, 1, 2), (1, 1, 1)],
)
def test_batches_fit_the_images(batch: int, images: int, expected: int) -> None:
    words: list[str] = []
    fitting = TrainConfig(batch_size=batch).fitted_to(images, words.append)
    assert fitting.batch_size == expected
    assert len(words) == (expected < batch)
    assert all(f"batches of {expected} images, not {batch}" in line for line in words)


def test_seeds_are_mixed() -> None:
    seeds = {mix(seed, step, rank) for seed in range(4) for step in range(50) for rank in range(3)}
    assert len(seeds) == 600
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert mix(0, 1, 2) == mix(0, 1, 2)


def test_a_second_signal_acts_as_before() -> None:
    with stop_requests() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with stop_requests() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop == []
    finally:
        signal.signal(signal.SIGHUP, before)


class Fickle(Task):
    """A gradient that is ``slope`` in bf16, and 1 in fp32."""

    def __init__(self, slope: float) -> None:
        nn.Module.__init__(self)
        self.slope, self.weight = slope, nn.Parameter(torch.ones(1))

    def embed(self, images: Tensor) -> Tensor:
        return torch.zeros(len(images), 1)

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
        value = self.weight.sum()
        slope = self.slope if torch.is_autocast_enabled("cpu") else 1.0
        value.register_hook(lambda gradient: gradient * slope)
        return TaskOutput(value)


CAPABILITIES = "torch.cpu.get_capabilities"
NATIVE = "torch.cuda.is_bf16_supported"


@pytest.mark.parametrize(
    ("features", "slope", "chosen", "words"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, 1.0, "bf16", "has amx_bf16"),
        ({"amx_bf16": False, "avx512_bf16": True}, 1.0, "bf16", "has avx512_bf16"),
        ({"amx_bf16": False, "avx512_bf16": False, "avx2": True}, 1.0, "fp32", "no bf16 instructions"),
        ({"bf16": True, "sve_bf16": True}, 1.0, "fp32", "no bf16 instructions"),  # Arm: not measured
        ({"amx_bf16": True}, float("nan"), "fp32", "not sound"),
        ({"amx_bf16": True}, float("inf"), "fp32", "not sound"),
    ],
)
def test_precision_follows_the_processor_and_soundness(
    monkeypatch: pytest.MonkeyPatch, features: dict[str, bool], slope: float, chosen: str, words: str
) -> None:
    monkeypatch.setattr(CAPABILITIES, lambda: features)
    task = Fickle(slope)
    choice = choose(task, feed(), 0)
    assert choice.precision == chosen
    assert words in choice.reason
    assert task.weight.grad is None
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("amx", "avx", "unit"), [(True, True, "amx_bf16"), (False, True, "avx512_bf16"), (False, False, "")]
)
def test_torch_before_2_11_is_asked_otherwise(
    monkeypatch: pytest.MonkeyPatch, amx: bool, avx: bool, unit: str
) -> None:
    monkeypatch.delattr(CAPABILITIES, raising=False)
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: avx)
    assert bf16_unit(torch.device("cpu")) == unit


def test_a_task_without_bf16_kernels_is_trained_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoKernel(Fickle):
        def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
            raise RuntimeError("not implemented for BFloat16")

    monkeypatch.setattr(CAPABILITIES, lambda: {"amx_bf16": True})
    assert choose(NoKernel(1.0), feed(), 0).precision == "fp32"


def test_gradients_that_a_kernel_leaves_unset_are_seen_without_luck(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that the allocator hands out is mostly zero in a young process; that must not pass as sound."""

    class Unset(Fickle):
        def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> TaskOutput:
            value = self.weight.sum()
            value.register_hook(torch.empty_like)
            return TaskOutput(value)

    assert not sound_in_bf16(Unset(1.0), feed(), 0)
    assert sound_in_bf16(Fickle(1.0), feed(), 0)


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16 cores"), (False, "")])
def test_gpus_that_emulate_bf16_do_not_take_it(
    monkeypatch: pytest.MonkeyPatch, native: bool, expected: str
) -> None:
    monkeypatch.setattr(NATIVE, lambda including_emulation: native and not including_emulation)
    assert bf16_unit(torch.device("cuda")) == expected
    assert bf16_unit(torch.device("meta")) == ""


def test_log_drops_rows_after_the_checkpoint_and_cut_lines(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,loss\n1,3.0\n2,2.0\n3,1.0\n4x")
    with TrainLog(tmp_path, 8, 2, 10.0, show=False, write=True) as log:
        log.write(5, 12.0, 0.5, {"loss": 0.5})
        log.write(6, 13.0, 0.5, {"loss": 0.4, "new": 7.0})
    rows = read_rows(log.path)
    assert [row["step"] for row in rows] == [1, 2, 5, 6]
    assert (rows[2]["images_per_second"], rows[2]["data_wait"]) == (3 * 8 / 2.0, 0.25)
    assert rows[3]["new"] == 7.0
    assert rows == log.rows
    assert status(rows[2]) == "12 images/s · loss 0.500 · 25% waiting for data"
