"""Where decoded images are kept: at home, or where the user says, or, without a home, safely elsewhere."""

import os
import stat
import tempfile
from pathlib import Path

import pytest

from onlygood.pretrain.data.cachedir import find_cache
from onlygood.runtime.errors import OnlygoodError


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ONLYGOOD_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither HOME nor an entry in the list of users."""

    def unknown(_: int) -> None:
        raise KeyError("uid not found")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)


def test_at_home_or_where_the_variables_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert find_cache() == (tmp_path / ".cache/onlygood", "")
    assert not (tmp_path / ".cache").exists()
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert find_cache() == (Path("/x/onlygood"), "")
    monkeypatch.setenv("ONLYGOOD_CACHE", "/o")
    assert find_cache() == (Path("/o"), "")


@pytest.mark.usefixtures("homeless")
def test_without_a_home_a_folder_of_our_own_and_it_is_said(tmp_path: Path) -> None:
    for _ in range(2):
        folder, note = find_cache()
        assert folder == tmp_path / "tmp" / f"onlygood-{os.getuid()}"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert "there is no home folder" in note
        assert str(folder) in note
        assert "ONLYGOOD_CACHE" in note


@pytest.mark.parametrize("home", ["a file", "read-only"])
def test_a_home_that_takes_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    if home == "a file":
        (tmp_path / ".cache").touch()
    else:  # for root nothing is read-only
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    folder, note = find_cache()
    assert folder.parent == tmp_path / "tmp"
    assert f"{tmp_path / '.cache/onlygood'} cannot be written" in note


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize("trap", ["link", "open", "file"])
def test_a_folder_that_others_can_write_is_not_trusted(tmp_path: Path, trap: str) -> None:
    ours = tmp_path / "tmp" / f"onlygood-{os.getuid()}"
    if trap == "link":
        ours.symlink_to(tmp_path)
    elif trap == "open":
        ours.mkdir()
        ours.chmod(0o777)
    else:
        ours.touch()
    with pytest.raises(OnlygoodError, match="ONLYGOOD_CACHE"):
        find_cache()


@pytest.mark.usefixtures("homeless")
def test_no_place_for_temporary_files_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere/at/all")
    with pytest.raises(OnlygoodError, match=r"there is no home folder, .*set ONLYGOOD_CACHE"):
        find_cache()
