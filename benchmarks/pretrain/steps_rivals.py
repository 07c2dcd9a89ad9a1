"""The rivals of steps.py: plain training loops over a DataLoader, whose workers make views image by image.

They train the same encoder as onlygood with heads as wide, the same loss and the same optimiser:

* lightly: its transforms, dataset, collation, heads and loss; each view goes through the network by itself.
* solo: written for this benchmark after the structure of solo-learn. Pillow images, torchvision's first
  transforms with bicubic crops, a list of views, each view by itself.

Neither has a task "rotation": there, their data loading feeds one view of each image, turned as a batch.

They get what they can: decoded images in memory (unless ``files``), channels last in memory, no logging, no
end of an epoch.
"""

import copy
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, RandomSampler

from benchmarks.pretrain import peers
from onlygood.pretrain.data.store import ImageStore, Store
from onlygood.pretrain.losses.contrastive import nt_xent
from onlygood.pretrain.losses.regression import cosine_distance
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.ema import ema_copy, ema_update
from onlygood.pretrain.networks.projectors import mlp
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.byol import BYOLConfig
from onlygood.pretrain.tasks.rotation import RotationConfig
from onlygood.pretrain.tasks.simclr import SimCLRConfig
from onlygood.pretrain.training.config import TrainConfig
from onlygood.runtime.images.spec import InputSpec

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
VIEWS = {
    "simclr": SimCLRConfig().views,
    "byol": BYOLConfig().views,
    "rotation": RotationConfig().views,
}


@dataclass(frozen=True)
class Settings:
    """Of one contender; everything but its name and workers is the same for all."""

    contender: str  # "onlygood", "lightly" or "solo"
    workers: int
    task: str
    encoder: str
    precision: str
    data: str | None  # a folder; None for images made from the seed
    files: bool  # rivals open the files each time
    cache: str
    images: int
    side: int
    batch: int
    threads: int
    seconds: float
    seed: int


@dataclass
class Rendered:
    """A store of images made from the seed."""

    pixels: NDArray[np.uint8]  # (n, H, W, C)
    fingerprint: str = "rendered"

    @property
    def hashes(self) -> list[str]:
        """The numbers of the images."""
        return [str(number) for number in range(len(self.pixels))]

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        """uint8 (B, H, W, C)."""
        return self.pixels[ids]


def find(data: str, count: int) -> list[Path]:
    """At most ``count`` image files, spread evenly over those of the folder."""
    files = sorted(path for path in Path(data).rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        sys.exit(f"{data}: no images")
    return [files[i] for i in np.linspace(0, len(files) - 1, min(count, len(files))).astype(int)]


def open_store(settings: Settings) -> Store:
    """All images, decoded; from the second time on from the cache."""
    if settings.data is None:
        return Rendered(peers.rendered(settings.images, settings.side, settings.seed))
    spec = InputSpec(height=settings.side, width=settings.side, channels=3)
    paths = find(settings.data, settings.images)
    return ImageStore.build(paths, spec, Path(settings.cache), progress=False)


# --- data


class Images(Dataset[Any]):
    """(views, label) of decoded images or of files; ``transform`` makes the views."""

    def __init__(self, sources: Sequence[Any], side: int, transform: Callable[[Any], Any] | None) -> None:
        self.sources, self.side, self.transform = sources, side, transform

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        source = self.sources[index]
        image = Image.open(source).convert("RGB") if isinstance(source, Path) else Image.fromarray(source)
        if image.size != (self.side, self.side):
            image = image.resize((self.side, self.side), Image.Resampling.BILINEAR)
        return (self.transform(image) if self.transform else image), 0


class Several:
    """The list of what each of several transforms gives."""

    def __init__(self, *transforms: Any) -> None:
        self.transforms = transforms

    def __call__(self, image: Any) -> list[Any]:
        """Apply each."""
        return [transform(image) for transform in self.transforms]


def solo_transform(task: str, side: int) -> Any:
    """A list of views of one Pillow image."""
    count = 1 if task == "rotation" else 2
    return Several(*[peers.pillow_views(VIEWS[task], side, bicubic=True)] * count)


def lightly_transform(task: str, side: int) -> Any:
    """Lightly's own transform, as strong as onlygood's."""
    from lightly import transforms  # noqa: PLC0415
    from lightly.transforms.multi_view_transform import MultiViewTransform  # noqa: PLC0415

    views = VIEWS[task]
    if task == "rotation":
        return MultiViewTransform([peers.pillow_views(views, side)])
    strengths: dict[str, Any] = {
        "input_size": side,
        "cj_prob": views.jitter_probability,
        "cj_strength": 1.0,
        "cj_bright": views.brightness,
        "cj_contrast": views.contrast,
        "cj_sat": views.saturation,
        "cj_hue": views.hue,
        "min_scale": views.scale[0],
        "random_gray_scale": views.gray,
        "gaussian_blur": views.blur,
        "normalize": {"mean": peers.MEAN, "std": peers.DEVIATION},
    }
    if task == "simclr":
        return transforms.SimCLRTransform(**strengths)
    one = transforms.BYOLView1Transform(**strengths)
    other = transforms.BYOLView2Transform(**strengths, solarization_prob=0.0)
    return transforms.BYOLTransform(one, other)


def _no_name(_dataset: Any, index: int) -> str:
    return str(index)


def load(settings: Settings, sources: Sequence[Any], device: str) -> Any:
    """A DataLoader whose batches begin with a list of views (B, C, side, side)."""
    options: dict[str, Any] = {"batch_size": settings.batch, "num_workers": settings.workers}
    options |= {"pin_memory": device == "cuda", "drop_last": True}
    dataset: Any = Images(sources, settings.side, None)
    if settings.contender == "lightly":
        from lightly.data import LightlyDataset  # noqa: PLC0415
        from lightly.data.multi_view_collate import MultiViewCollate  # noqa: PLC0415

        transform = lightly_transform(settings.task, settings.side)
        dataset = LightlyDataset.from_torch_dataset(dataset, transform, _no_name)
        options["collate_fn"] = MultiViewCollate()
    else:
        dataset.transform = solo_transform(settings.task, settings.side)
    sampler = RandomSampler(dataset, replacement=True, num_samples=settings.batch * 100_000)
    return DataLoader(dataset, sampler=sampler, **options)


# --- methods


@dataclass
class Method:
    """All modules, the loss of a list of views, and what follows each step."""

    modules: nn.Module
    loss: Callable[[list[Tensor]], Tensor]
    after: Callable[[], None] = lambda: None


def rotation(encoder: Encoder) -> Method:
    """Of both rivals: which of the four turns is it?"""
    model = nn.Sequential(encoder, nn.Linear(encoder.dim, 4))

    def loss(views: list[Tensor]) -> Tensor:
        (view,) = views
        turned = torch.cat([torch.rot90(view, turns, (2, 3)) for turns in range(4)])
        labels = torch.arange(4, device=view.device).repeat_interleave(len(view))
        return functional.cross_entropy(model(turned.to(memory_format=torch.channels_last)), labels)

    return Method(model, loss)


def lightly_simclr(encoder: Encoder) -> Method:
    """With lightly's head and loss."""
    from lightly.loss import NTXentLoss  # noqa: PLC0415
    from lightly.models.modules import SimCLRProjectionHead  # noqa: PLC0415

    config = SimCLRConfig()
    model = nn.Sequential(encoder, SimCLRProjectionHead(encoder.dim, encoder.dim, config.projection))
    criterion = NTXentLoss(config.temperature)
    return Method(model, lambda views: criterion(model(views[0]), model(views[1])))


def lightly_byol(encoder: Encoder) -> Method:
    """With lightly's heads, loss and momentum."""
    from lightly.loss import NegativeCosineSimilarity  # noqa: PLC0415
    from lightly.models import utils  # noqa: PLC0415
    from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead  # noqa: PLC0415

    c = BYOLConfig()
    model = nn.Sequential(encoder, BYOLProjectionHead(encoder.dim, c.hidden, c.projection))
    predictor = BYOLPredictionHead(c.projection, c.hidden, c.projection)
    slow = copy.deepcopy(model)
    utils.deactivate_requires_grad(slow)
    criterion = NegativeCosineSimilarity()

    def loss(views: list[Tensor]) -> Tensor:
        predictions = [predictor(model(view)) for view in views]
        with torch.no_grad():
            targets = [slow(view) for view in views]
        return (criterion(predictions[0], targets[1]) + criterion(predictions[1], targets[0])) / 2

    modules = nn.ModuleList([model, predictor, slow])
    return Method(modules, loss, lambda: utils.update_momentum(model, slow, c.momentum))


def solo_simclr(encoder: Encoder) -> Method:
    """Each view by itself through encoder and head."""
    config = SimCLRConfig()
    model = nn.Sequential(encoder, mlp(encoder.dim, encoder.dim, config.projection))
    return Method(model, lambda views: nt_xent(model(views[0]), model(views[1]), config.temperature))


def solo_byol(encoder: Encoder) -> Method:
    """Each view by itself through both networks."""
    c = BYOLConfig()
    model = nn.Sequential(encoder, mlp(encoder.dim, c.hidden, c.projection))
    predictor, slow = mlp(c.projection, c.hidden, c.projection), ema_copy(model)

    def loss(views: list[Tensor]) -> Tensor:
        predictions = [predictor(model(view)) for view in views]
        with torch.no_grad():
            targets = [slow(view) for view in views]
        return cosine_distance(predictions[0], targets[1]) + cosine_distance(predictions[1], targets[0])

    modules = nn.ModuleList([model, predictor, slow])
    return Method(modules, loss, lambda: ema_update(slow, model, c.momentum))


METHODS = {
    ("lightly", "simclr"): lightly_simclr,
    ("lightly", "byol"): lightly_byol,
    ("lightly", "rotation"): rotation,
    ("solo", "simclr"): solo_simclr,
    ("solo", "byol"): solo_byol,
    ("solo", "rotation"): rotation,
}


def cpu_seconds() -> float:
    """Of this process and its living children."""
    this = psutil.Process()
    times = [process.cpu_times() for process in (this, *this.children(recursive=True))]
    return float(sum(time.user + time.system for time in times))


class Rival:
    """A plain training loop over a DataLoader."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        torch.set_num_threads(settings.threads)
        peers.seed_all(settings.seed)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        if settings.files and settings.data:
            sources: Sequence[Any] = find(settings.data, settings.images)
        else:
            store = open_store(settings)
            sources = store.batch(np.arange(len(store)))
        self.loader = load(settings, sources, self.device)
        encoder = create_encoder(settings.encoder, 3, seed=settings.seed)
        self.method = METHODS[settings.contender, settings.task](encoder)
        modules = self.method.modules.to(self.device).train()
        modules.to(memory_format=torch.channels_last)
        trained = [parameter for parameter in modules.parameters() if parameter.requires_grad]
        c = TrainConfig()
        self.optimizer = torch.optim.SGD(trained, c.lr / 10, c.momentum, 0, c.weight_decay, nesterov=True)

    def step(self, batch: Any) -> Tensor:
        """One step of the optimiser."""
        here = [view.to(self.device, non_blocking=True) for view in batch[0]]
        views = [view.to(memory_format=torch.channels_last) for view in here]
        with torch.autocast(self.device, torch.bfloat16, enabled=self.settings.precision == "bf16"):
            loss = self.method.loss(views)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.method.after()
        return loss.detach()

    def round(self) -> dict[str, float]:
        """Images a second after a warm-up that uses up what the workers have prepared."""
        batches, seconds, done = iter(self.loader), self.settings.seconds, 0
        begin = time.perf_counter()
        while done < 2 or (done < 6 and time.perf_counter() - begin < seconds / 2):
            loss = self.step(next(batches))
            done += 1
        self._wait()
        begin, begin_cpu, done = time.perf_counter(), cpu_seconds(), 0
        while done < 2 or time.perf_counter() - begin < seconds:
            loss = self.step(next(batches))
            done += 1
        self._wait()
        images = self.settings.batch * done
        found = {
            "images_per_second": images / (time.perf_counter() - begin),
            "cpu_seconds_per_1000": 1000 * (cpu_seconds() - begin_cpu) / images,
            "steps": done,
            "loss": float(loss),
        }
        del batches  # ends the workers
        return found

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()
