"""What names of folders say."""

from pathlib import Path

import pytest

from onlygood.anomaly.data.names import product


@pytest.mark.parametrize(
    ("folder", "what"),
    [
        ("/line 3/bolts", "bolts"),
        ("/line 3/bolts/train/good", "bolts"),
        ("/bolts/data/Images_/OK", "bolts"),
        ("/bolts/../nuts/Data Set/./raw", "nuts"),
        ("/cache/copies/0123456789abcdef/good", "cache"),
        ("/good", ""),
        ("/", ""),
        ("~/parts/good", "parts"),
        ("~/good", ""),  # nobody's name is a product
    ],
)
def test_a_folder_is_called_by_what_it_shows(folder: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/fred")
    monkeypatch.setenv("USERPROFILE", "/home/fred")
    assert product(Path(folder).expanduser()) == what


def test_a_relative_folder_has_its_place_and_its_link_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk 7/good").mkdir(parents=True)
    (tmp_path / "bolts").symlink_to(tmp_path / "disk 7")
    monkeypatch.chdir(tmp_path / "disk 7")
    assert product(Path("good")) == "disk 7"
    assert product(tmp_path / "bolts/good") == "bolts"
