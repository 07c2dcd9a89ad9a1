"""One contender of steps.py in a process of its own: each line on stdin asks for a round, answered on stdout.

    python steps_worker.py SETTINGS        JSON, see `steps_rivals.Settings`

onlygood is its real ``train()``, timed by its own log.
"""

import json
import math
import sys
import tempfile
import warnings
from contextlib import redirect_stdout
from pathlib import Path

from benchmarks.pretrain.steps_rivals import Rival, Settings, open_store
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.registry import create_task
from onlygood.pretrain.training.config import TrainConfig
from onlygood.pretrain.training.logs import read_rows
from onlygood.pretrain.training.trainer import train


class Onlygood:
    """Its own trainer, in every round from the beginning."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.store = settings, open_store(settings)
        self.step_seconds = 0.0  # of the last round
        self.round()

    def round(self) -> dict[str, float]:
        """Images a second between the first row of the log and the last; the steps before it are warm-up."""
        s = self.settings
        counted = max(2, round(s.seconds / self.step_seconds)) if self.step_seconds else 2
        every = max(1, min(TrainConfig().log_every, counted // 4))
        encoder = create_encoder(s.encoder, 3, seed=s.seed)
        task = create_task(s.task, encoder, {}, images=len(self.store), seed=s.seed)
        config = TrainConfig(
            steps=every + counted,
            batch_size=s.batch,
            precision=s.precision,
            threads=s.threads,
            seed=s.seed,
            log_every=every,
            checkpoint_minutes=60,
        )
        with tempfile.TemporaryDirectory() as folder:
            result = train(task, self.store, config, Path(folder), progress=False)
            rows = read_rows(result.log)
        steps, seconds = (rows[-1][key] - rows[0][key] for key in ("step", "seconds"))
        self.step_seconds = seconds / steps
        return {
            "images_per_second": s.batch * steps / seconds,
            "cpu_seconds_per_1000": 1000 * result.cpu_seconds / (s.batch * result.steps),  # of all steps
            "steps": steps,
            "loss": rows[-1]["loss"],
        }


def main() -> None:
    warnings.filterwarnings("ignore")
    answers = sys.stdout
    with redirect_stdout(sys.stderr):  # where libraries may print what they like
        settings = Settings(**json.loads(sys.argv[1]))
        contender = (Onlygood if settings.contender == "onlygood" else Rival)(settings)
        print("ready", file=answers, flush=True)
        for _ in sys.stdin:
            found = contender.round()
            if not math.isfinite(found["loss"]):
                sys.exit(f"the loss became {found['loss']}")
            print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main()
