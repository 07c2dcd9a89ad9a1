"""DRAEM: what is restored, what is located, and that nothing but the paste tells it."""

import pytest
import torch
from tiny import descend, generator, make, waves
from torch import Tensor

from onlygood.pretrain.tasks import draem
from onlygood.pretrain.views.views import to_float

BATCH = 16


def stripe(x: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
    """A dark bar in the second half of the batch."""
    masks = torch.zeros_like(x[:, 0])
    masks[len(x) // 2 :, 8:16, 4:20] = 1
    return torch.where(masks[:, None] > 0, -2.0, x), masks


def test_the_parts_of_the_loss() -> None:
    """The restoration is compared with the clean view, not with what the encoder saw."""
    task = make("draem", share=1.0).train()
    task.standardize = "fixed"
    images = waves(BATCH)
    clean = to_float(images, "fixed")

    class Perfect(torch.nn.Module):
        def forward(self, maps: Tensor, size: torch.Size) -> Tensor:
            return clean.clone()

    seen: list[Tensor] = []
    task.encoder.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    task.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    task.decoder = Perfect()
    output = task(images, torch.arange(BATCH), generator())
    assert output.metrics["restoration"] == 0
    assert output.metrics["unlike"].item() == pytest.approx(0, abs=1e-4)
    assert output.loss.item() == pytest.approx(output.metrics["focal"].item(), abs=1e-4)
    assert (seen[0] != clean).any()
    assert torch.equal(seen[1], torch.cat([seen[0], clean], dim=1))


def test_a_bar_is_located_and_painted_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draem, "paste_textures", stripe)
    task = make("draem").train()
    task.standardize = "fixed"
    descend(task, lambda step: waves(BATCH, step), 20)
    clean = to_float(waves(BATCH, 1000), "fixed")
    marred, masks = stripe(clean)
    with torch.no_grad():
        logits, restored = task.eval().locate(marred)[:, 0], task.restore(marred)
    assert logits.shape == (BATCH, 6, 6)
    touched = masks[:, ::4, ::4] > 0
    assert (logits[touched][:, None] > logits[~touched]).float().mean() > 0.95
    assert logits[: BATCH // 2].max() < logits[touched].median()
    bar = masks[:, None].expand_as(clean) > 0
    assert (restored - clean)[bar].square().mean() < 0.5 * (marred - clean)[bar].square().mean()


def test_what_does_not_show_is_not_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks without textures: logits tell no place from another, clean images no less than others."""
    paste = draem.paste_textures
    monkeypatch.setattr(draem, "paste_textures", lambda x, *a, **b: (x, paste(x, *a, **b)[1]))
    task = make("draem", threshold=0.1, share=0.5).train()
    focals = [row["focal"] for row in descend(task, lambda step: waves(BATCH, step), 30)]
    masks = [
        paste(
            torch.zeros(BATCH, 3, 24, 24),
            -torch.ones(1),
            torch.ones(1),
            generator(s),
            threshold=0.1,
            share=0.5,
        )[1]
        for s in range(15, 30)
    ]
    cells = torch.nn.functional.max_pool2d(torch.cat(masks), 4)
    p = torch.linspace(0.01, 0.99, 99)
    q = cells.mean()
    chance = (-q * (1 - p) ** 2 * p.log() - (1 - q) * p**2 * (1 - p).log()).min().item()
    assert sum(focals[15:]) / 15 > 0.97 * chance
