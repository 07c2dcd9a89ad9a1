"""Drift as the loop follows it."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stage import Scene, Stage

from onlygood.runtime.model.appearance import Appearance
from onlygood.runtime.rows.drift import Monitor
from onlygood.runtime.rows.verdicts import Row
from onlygood.runtime.watch.drifting import Drift
from onlygood.runtime.watch.state import State


def test_drift_is_followed_across_restarts(stage: Stage, tmp_path: Path, metadata_with: Any) -> None:
    """Of 40 images, the later 20 are brighter; a restart after each ten changes nothing of what is said."""
    looks = {name: [n / 99 for n in range(99)] for name in Appearance._fields}
    metadata = metadata_with(appearance=looks)

    def observe(scene: Scene) -> None:
        judge = scene.watcher.judge

        def with_looks(paths: Sequence[Path]) -> Generator[Row, None, None]:
            for row in judge(paths):
                number = int(row.path.stem)
                look = dict.fromkeys(Appearance._fields, number * 0.37 % 1)
                look["brightness"] += number >= 20
                yield replace(row, score=number * 0.61 % 0.5, extras={"appearance": look})

        scene.watcher.judge = with_looks
        monitor = Monitor(metadata, 0.5)
        scene.watcher.drift = Drift(monitor, scene.watcher.state, "settings")

    def play(name: str, restarts: int) -> tuple[list[list[str]], list[str], float]:
        rows, said = [], []
        for path in (tmp_path / "in").iterdir():
            path.unlink()
        for run in range(restarts):
            with State(tmp_path / name) as state:
                scene = stage(state)
                observe(scene)
                for number in range(40 // restarts * run, 40 // restarts * (run + 1)):
                    scene.put(f"{number:02}.png")
                scene.watcher.run(once=True)
                rows += [row["drift"] for row in scene.sheet.rows]
                said += scene.said
                assert scene.watcher.drift is not None
                evidence = scene.watcher.drift.monitor.stream.evidence
        assert len(state_numbers(tmp_path / name)) < 40 - rows.index(["brightness"])
        return rows, said, evidence

    whole, split = play("whole", 1), play("split", 4)
    assert whole == split
    assert whole[0][:20] == [[]] * 20
    assert whole[0][-1] == ["brightness"]
    assert "brightness" in whole[1][0]
    with State(tmp_path / "split") as state:  # another model: what was seen is no part of its stream
        assert Drift(Monitor(metadata, 0.5), state, "others").monitor.moved == []
        assert Drift(Monitor(metadata, 0.5), state, "settings").monitor.moved == ["brightness"]


def state_numbers(path: Path) -> list[int]:
    with State(path) as state:
        return [number for number, _ in state.drift()[1]]
