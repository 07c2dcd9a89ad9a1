"""What `onlygood` says by itself in folders of different kinds, and that shells complete what is typed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onlygood.deploy import welcome as module
from onlygood.deploy.cli import COMMANDS, app
from onlygood.deploy.manual import manual
from onlygood.deploy.welcome import welcome
from onlygood.runtime.images.files import OUTPUT_MARKER


def pictures(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number}.JPG").touch()


def commands(words: str) -> list[str]:
    """The commands that are proposed."""
    return re.findall(r"^  (onlygood .*?)(?:  |$)", words, re.MULTILINE)


def test_an_empty_folder_is_for_the_demo(tmp_path: Path) -> None:
    words = welcome(tmp_path)
    assert "There are no images here." in words
    assert commands(words)[0] == "onlygood demo demo"
    assert len(words.splitlines()) < 12


def test_good_images_are_to_be_learned_from_wherever_they_lie(tmp_path: Path) -> None:
    pictures(tmp_path / "parts" / "good", 30)
    pictures(tmp_path / "parts" / "bad", 40)
    words = welcome(tmp_path)
    assert "There are 30 images in parts/good." in words
    assert commands(words) == [
        "onlygood doctor parts/good",
        "onlygood fit parts/good -o model.onnx",
        "onlygood check model.onnx NEW_IMAGES",
    ]


def test_of_a_published_data_set_the_images_to_train_on_are_meant(tmp_path: Path) -> None:
    for part, count in (("train/good", 40), ("test/good", 9), ("test/scratch", 50)):
        pictures(tmp_path / "bottle" / part, count)
    assert commands(welcome(tmp_path))[0] == "onlygood doctor bottle/train/good"


def test_without_a_telling_name_the_largest_folder_is_taken(tmp_path: Path) -> None:
    pictures(tmp_path / "a", 25)
    pictures(tmp_path / "my parts", 26)
    assert commands(welcome(tmp_path))[0] == "onlygood doctor 'my parts'"
    pictures(tmp_path, 27)
    assert commands(welcome(tmp_path))[0] == "onlygood doctor ."


def test_too_few_images_are_said_to_be_so(tmp_path: Path) -> None:
    pictures(tmp_path, 19)
    assert "There are 19 images in this folder (at least 20 good ones are needed)." in welcome(tmp_path)


def test_with_a_model_images_are_judged_but_not_those_it_learned_from(tmp_path: Path) -> None:
    pictures(tmp_path / "good", 30)
    (tmp_path / "model.onnx").touch()
    words = welcome(tmp_path)
    assert "Here is the model model.onnx." in words
    assert "onlygood check model.onnx NEW_IMAGES" in commands(words)
    pictures(tmp_path / "today", 1)
    assert "onlygood check model.onnx today" in commands(welcome(tmp_path))


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    """Those that lead back end; what a link leads to is meant by its own name where it has one here."""
    pictures(tmp_path / "elsewhere" / "parts", 30)
    here = tmp_path / "here"
    pictures(here / "some", 25)
    (here / "link").symlink_to(tmp_path / "elsewhere")
    (here / "some" / "back").symlink_to(here)
    (tmp_path / "elsewhere" / "parts" / "good").symlink_to(tmp_path / "elsewhere" / "parts")
    (here / "broken").symlink_to(tmp_path / "nowhere")
    assert commands(welcome(here))[0] == "onlygood doctor link/parts"
    (here / "a").symlink_to(here / "some")
    pictures(here / "some", 40)
    assert commands(welcome(here))[0] == "onlygood doctor some"
    assert sorted(map(str, module._folders(here))) == [".", "link", "link/parts", "some"]


def test_what_onlygood_wrote_and_what_is_hidden_is_not_meant(tmp_path: Path) -> None:
    for name in (".hidden", "report", "_private"):
        pictures(tmp_path / name, 30)
    (tmp_path / "report" / OUTPUT_MARKER).touch()
    assert "There are no images here." in welcome(tmp_path)


def test_a_folder_that_cannot_be_read_is_an_empty_one(tmp_path: Path) -> None:
    assert "There are no images here." in welcome(tmp_path / "missing")


def test_only_some_of_a_huge_folder_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 7)
    pictures(tmp_path, 12)
    assert "There are 7 or more images" in welcome(tmp_path)


@pytest.mark.parametrize("with_model", [False, True])
def test_every_proposal_can_be_typed(tmp_path: Path, with_model: bool) -> None:
    """The command exists, and takes the options: the help of each says so."""
    if with_model:
        (tmp_path / "model.onnx").touch()
    for line in commands(welcome(tmp_path)):
        _, name, *arguments = line.split()
        printed = CliRunner().invoke(app, [name, "--help"]).stdout
        assert name in COMMANDS
        assert all(argument in printed for argument in arguments if argument.startswith("-"))


def test_without_a_command_the_exit_code_is_that_of_a_wrong_line() -> None:
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2
    assert "All commands: onlygood --help" in result.stdout


# --- completion and the man page


def shell(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "onlygood", *arguments]
    return subprocess.run(  # noqa: S603
        command, env=os.environ | environment, capture_output=True, text=True, check=False
    )


def test_bash_completes_commands_and_options() -> None:
    asked = {"COMP_WORDS": "onlygood fit --re", "COMP_CWORD": "2", "_ONLYGOOD_COMPLETE": "complete_bash"}
    found = shell(**asked)
    assert found.returncode == 0
    assert {"--recipe", "--resume"} <= set(found.stdout.split())


def test_fish_is_told_by_the_exit_code_whether_there_is_something() -> None:
    asked = {"_ONLYGOOD_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "is-args"}
    assert shell(**asked, _TYPER_COMPLETE_ARGS="onlygood ver").returncode == 0
    assert shell(**asked, _TYPER_COMPLETE_ARGS="onlygood nosuch").returncode == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bash", "complete -o default"),
        ("zsh", "#compdef onlygood"),
        ("fish", "--command onlygood"),
        ("powershell", "Register-ArgumentCompleter"),
    ],
)
def test_scripts_for_shells_are_printed(name: str, words: str) -> None:
    found = shell(_ONLYGOOD_COMPLETE=f"source_{name}")
    assert found.returncode == 0
    assert words in found.stdout


def test_the_man_page_names_every_command_and_option() -> None:
    page = CliRunner().invoke(app, ["man"]).stdout.replace(r"\-", "-")
    for name in COMMANDS:
        assert f".SS onlygood {name}\n" in page
        printed = CliRunner().invoke(app, [name, "--help"]).stdout
        section = page.partition(f".SS onlygood {name}\n")[2].partition(".SS ")[0]
        options = set(re.findall(r"^  (?:-\w, )?(--[a-z][\w-]+)", printed, re.MULTILINE)) - {"--help"}
        assert options <= set(re.findall(r"--[a-z][\w-]+", section))
    assert r"\fB-o, --output\fR" in page.replace(r"\fR, \fB", ", ")


def test_words_never_become_requests_of_roff() -> None:
    page = manual({}, r".so \n' evil")
    assert r"onlygood \- \&.so \en' evil" in page
