import json
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from onlygood.anomaly.data.datasets import discover
from onlygood.deploy.sources import at_hand
from onlygood.runtime.far.find import find_far
from onlygood.runtime.images.remote import Remote

pytest.importorskip("s3fs", reason="the extra cloud is not installed")
moto_server = pytest.importorskip("moto.server", reason="moto is not installed")

Call = Callable[..., Result]
SECRET = "wJalr-the-secret"  # noqa: S105


@pytest.fixture
def bucket(parts: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The images of ``parts``, and a tar of them, in an S3 of this machine."""
    import s3fs  # noqa: PLC0415 - takes a second

    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "ONLYGOOD_CACHE": str(parts.parent / "cache"),
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    system = s3fs.S3FileSystem()
    system.makedirs("plant", exist_ok=True)
    for path in sorted(parts.rglob("*.png")):
        system.pipe(f"plant/parts/{path.relative_to(parts).as_posix()}", path.read_bytes())
    with tarfile.open(parts.parent / "x.tar", "w") as archive:
        archive.add(parts, "")
    system.pipe("plant/x.tar", (parts.parent / "x.tar").read_bytes())
    yield "s3://plant"
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()


def test_keys_with_two_slashes_are_found(tiny: Path, bucket: str, call: Call, gray: Any) -> None:
    """As programs make them that join a folder with its slash and a name with one."""
    import s3fs  # noqa: PLC0415 - takes a second

    for key in ("b.png", "/z.png", "/deep//y.png", "/.hidden.png", "/notes.txt"):
        s3fs.S3FileSystem().pipe(f"plant/lot/{key}", gray("z.png", 51).read_bytes())
    found = rows(call("score", tiny, f"{bucket}/lot", "-f", "jsonl"))
    expected = [f"{bucket}/lot/{key}" for key in ("b.png", "/deep//y.png", "/z.png")]
    assert [row["path"] for row in found] == expected
    assert {row["status"] for row in found} == {"normal"}
    (row,) = rows(call("score", tiny, f"{bucket}/lot", "-f", "jsonl", "--exclude", "[!z]*"))
    assert row["path"] == f"{bucket}/lot//z.png"


def rows(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def judged(found: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        (
            row["path"].partition("::")[0].rpartition("/")[2],
            *(row[key] for key in ("status", "score", "p_value", "error")),
        )
        for row in found
    ]


def test_s3_gives_the_rows_of_a_folder(
    tiny: Path, parts: Path, bucket: str, call: Call, tmp_path: Path
) -> None:
    here = call("score", tiny, parts, "-f", "jsonl")
    for where in (f"{bucket}/parts", f"{bucket}/x.tar", f"{bucket}/*.tar"):
        there = call("score", tiny, where, "-f", "jsonl")
        assert sorted(judged(rows(there))) == sorted(judged(rows(here)))
        assert there.exit_code == here.exit_code == 2
        assert SECRET not in there.output
    assert {row["path"] for row in rows(call("check", tiny, f"{bucket}/parts", "-f", "jsonl"))} == {
        f"{bucket}/parts/b.png",
        f"{bucket}/parts/c.png",
    }
    copies, maps = tmp_path / "copies", tmp_path / "maps"
    call("score", tiny, f"{bucket}/parts", "--copy-flagged", copies, "--heatmaps", maps)
    assert (copies / "s3/plant/parts/b.png").read_bytes() == (parts / "b.png").read_bytes()
    assert (maps / "s3/plant/parts/b.png.npy").is_file()
    assert f"{bucket}/none: cannot be read: no such file" in call("score", tiny, f"{bucket}/none").stderr
    tiled = call("score", tiny, f"{bucket}/parts", "--tile", "8", "-f", "jsonl")
    assert [row["status"] for row in rows(tiled)] == [row["status"] for row in rows(here)]
    good = at_hand(Path(f"{bucket}/parts"), print)
    assert len(discover(good, all_good=True).samples) == 4


def test_each_image_is_one_request_and_no_listing_is_kept(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By workers of Ray, too, who have listed nothing; names of millions are in memory else."""
    import s3fs  # noqa: PLC0415 - takes a second

    asked, ask = [], s3fs.S3FileSystem._call_s3

    async def noted(self: Any, method: str, *given: Any, **named: Any) -> Any:
        asked.append((method, named.get("Key")))
        return await ask(self, method, *given, **named)

    images = [image for image in find_far(Path(f"{bucket}/parts")) if isinstance(image, Remote)]
    assert not s3fs.S3FileSystem().dircache
    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", noted)
    assert all(image.read(10**6) for image in images)
    assert asked == [("get_object", image.url.removeprefix(f"{bucket}/")) for image in images]


@pytest.mark.parametrize("where", ["parts", "x.tar"])
def test_a_run_is_resumed(tiny: Path, bucket: str, call: Call, tmp_path: Path, where: str) -> None:
    out = tmp_path / "rows.jsonl"
    arguments = ["score", tiny, f"{bucket}/{where}", "-o", out, "--resume"]
    call(*arguments)
    lines = out.read_text().splitlines(keepends=True)
    out.write_text("".join(lines[:2]))
    again = call(*arguments)
    assert "2 of these images were scored by an earlier run" in again.stderr
    assert [json.loads(line)["path"] for line in out.read_text().splitlines()] == [
        json.loads(line)["path"] for line in lines
    ]


def test_files_of_this_machine_import_none_of_it(tiny: Path, parts: Path) -> None:
    code = (
        "import sys; from onlygood.deploy.cli import invoke\n"
        f"invoke(['score', {str(tiny)!r}, {str(parts)!r}, '-f', 'csv'])\n"
        "names = ('fsspec', 's3fs', 'pyarrow', 'aiohttp', 'onlygood.runtime.far')\n"
        "far = [name for name in sys.modules if name.startswith(names)]\n"
        "assert not far, far"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)  # noqa: S603


def test_what_is_missing_is_named_with_its_remedy(
    tiny: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    result = call("score", tiny, "s3://bucket/x")
    assert result.exit_code == 2
    assert "s3://bucket/x: needs an extra: pip install 'onlygood[cloud]'" in result.stderr
