"""Which model an image is sent to."""

from pathlib import Path

import pytest

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.remote import Remote
from onlygood.runtime.rows.routes import ByFolder, ByList


def test_the_nearest_folder_called_as_a_model_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    routes = ByFolder(["a", "b.1"])
    monkeypatch.chdir(tmp_path)
    assert routes.name(Path("x/a/day/1.png")) == "a"
    assert routes.name(Path("a/b.1/1.png")) == "b.1"
    assert routes.name(Path("b.1/other/../1.png")) == "b.1"
    assert routes.name(Path("a.png")) is None
    assert routes.name(Path("b/1.png")) is None
    assert routes.name(Remote("s3://bucket/a/1.png")) == "a"
    assert routes.name(Remote("tar://b.1/1.png::s3://bucket/x.tar")) == "b.1"
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    assert routes.name(Path("1.png")) == "a"  # also where the folder is not typed


def test_a_list_says_it_whatever_a_path_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "routes.csv"
    table.write_text(
        'path,note,model\nin/1.png,x,a\n"in/2,.png",,b.onnx\ns3://bucket/3.png,,a\nin/1.png,,a\n'
    )
    routes = ByList(table, ["a", "b"])
    monkeypatch.chdir(tmp_path)
    assert routes.name(Path("in/1.png")) == routes.name(tmp_path / "in" / ".." / "in" / "1.png") == "a"
    assert routes.name(Path("in/2,.png")) == "b"
    assert routes.name(Remote("s3://bucket/3.png")) == "a"
    assert routes.name(Path("1.png")) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no list with the columns path and model"),
        ("path,label\n1.png,good\n", "no list with the columns path and model"),
        ("path,model\n1.png,a\n2.png,cam2\n", "line 3: there is no model 'cam2'; did you mean 'cam1'?"),
        ("path,model\n1.png\n", "line 2: there is no model ''"),
        ("path,model\n1.png,a\n./1.png,cam1\n", "line 3: ./1.png had another model"),
    ],
)
def test_what_is_no_list_of_routes_is_refused(text: str, said: str, tmp_path: Path) -> None:
    table = tmp_path / "routes.csv"
    table.write_text(text)
    with pytest.raises(OnlygoodError) as error:
        ByList(table, ["a", "cam1"])
    assert said in str(error.value)


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OnlygoodError, match=r"routes\.csv: No such file"):
        ByList(tmp_path / "routes.csv", [])
