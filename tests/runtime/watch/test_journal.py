import json
from pathlib import Path

import pytest

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.rows.verdicts import Stamp
from onlygood.runtime.watch.journal import Journal
from onlygood.runtime.watch.state import State, Verdict


def fill(state: State, *numbers: int) -> None:
    state.record(
        [
            Verdict(
                n,
                str(n).encode(),
                Stamp(1, n),
                "normal",
                0.0,
                {"rows": json.dumps({"id": state.entry_id(n), "path": "p"})},
            )
            for n in numbers
        ]
    )


def written(path: Path) -> list[int]:
    return [int(json.loads(line)["id"].rpartition("-")[2]) for line in path.read_text().splitlines()]


def test_rows_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with State(None) as state:
        fill(state, 1, 2, 3)
        journal = Journal(path, state)
        journal.write(state.waiting("rows", 2))
        path.rename(tmp_path / "rotated")
        journal.write(state.waiting("rows", 1, {1, 2}))
    assert (written(tmp_path / "rotated"), written(path)) == ([1, 2], [3])


@pytest.mark.parametrize("cut", [0, 1, 10, 40])
def test_a_kill_between_the_file_and_the_state_repeats_nothing(tmp_path: Path, cut: int) -> None:
    """Rows 1 and 2 are written, 3 in part; the state was told of none of them."""
    path = tmp_path / "r.jsonl"
    with State(tmp_path / "s") as state:
        fill(state, 1, 2, 3, 4)
        bodies = [entry.body for entry in state.waiting("rows", 4)]
    path.write_text(bodies[0] + "\n" + bodies[1] + "\n" + bodies[2][:cut])
    with State(tmp_path / "s") as state:
        journal = Journal(path, state)
        assert [entry.number for entry in state.waiting("rows", 9)] == [3, 4]
        journal.write(state.waiting("rows", 9))
    assert written(path) == [1, 2, 3, 4]


def test_a_first_row_cut_short_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with State(None) as state:
        fill(state, 1)
        path.write_text(state.waiting("rows", 1)[0].body[:20])
        Journal(path, state).write(state.waiting("rows", 9))
    assert written(path) == [1]


def test_rows_of_another_state_say_nothing_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with State(None) as other, State(None) as state:
        fill(other, 1, 2)
        Journal(path, other).write(other.waiting("rows", 9))
        fill(state, 1)
        Journal(path, state).write(state.waiting("rows", 9))
    assert written(path) == [1, 2, 1]


@pytest.mark.parametrize(
    "content",
    ["precious\n", "precious", '{"path": "of score"}\n', '{"id": "x-1"}\nnotes', "\x89PNG\r\n\x1a\n"],
)
def test_other_files_stay_as_they_are(tmp_path: Path, content: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(content.encode())
    with State(None) as state, pytest.raises(OnlygoodError, match="something else"):
        Journal(path, state)
    assert path.read_bytes() == content.encode()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with State(None) as state, pytest.raises(OnlygoodError, match="not a regular file"):
        Journal(tmp_path, state)
