"""The store: decoded once, kept on disk, the same for everybody, whatever the files are."""

import hashlib
import json
import multiprocessing
import os
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tiny_files import save_noise

from onlygood.pretrain.data import store as images
from onlygood.pretrain.data.store import ImageStore, survey_images
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.reader import ReadOptions, load_image
from onlygood.runtime.images.spec import InputSpec

SPEC = InputSpec(height=8, width=12, channels=3)


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Forbid decoding from now on."""

    def refuse(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(images, "load_image", refuse)
    return []


def mixed(folder: Path) -> list[Path]:
    """Two good images, one of them twice, between an empty file and a missing one."""
    first = save_noise(folder / "0.png", 0)
    (folder / "1.png").touch()
    twin = folder / "2.png"
    twin.write_bytes(first.read_bytes())
    return [first, folder / "1.png", twin, folder / "gone.png", save_noise(folder / "4.png", 4)]


def test_rows_are_what_the_reader_reads_in_order(folder: Path, cache: Path) -> None:
    paths = [save_noise(folder / f"{i}.png", i) for i in range(70)]  # more than one round of two workers
    store = ImageStore.build(paths, SPEC, cache, workers=2)
    ids = np.array([69, 3, 3, 0])
    want = np.stack([load_image(paths[i], SPEC).pixels for i in ids])
    np.testing.assert_array_equal(store.batch(ids), want)
    assert (len(store), store.paths, store.spec) == (70, paths, SPEC)
    assert store.hashes == store.file_hashes
    assert store.file_hashes == [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    assert store.pixel_hashes[3] == hashlib.sha256(want[1].tobytes()).hexdigest()


def save_anew(path: Path, to: Path, number: int) -> Path:
    """The same pixels in another file: another line of text, another compression, or another format."""
    text = PngInfo()
    text.add_text("Comment", f"copy {number}")
    with Image.open(path) as image:
        if number:
            image.save(to, "PNG", pnginfo=text, compress_level=number)
        else:
            image.save(to, "BMP")
    return to


@pytest.mark.parametrize("reopened", [False, True])
def test_one_picture_saved_anew_is_one_image(folder: Path, cache: Path, reopened: bool) -> None:
    first, other = save_noise(folder / "first.png", 0), save_noise(folder / "other.png", 1)
    copies = [save_anew(first, folder / f"copy{i}.png", i) for i in range(6)]
    for _ in range(1 + reopened):
        store = ImageStore.build([first, other, *copies], SPEC, cache)
    assert len(set(store.file_hashes)) == 8
    assert len(set(store.pixel_hashes)) == len(set(store.hashes)) == 2
    assert store.hashes[0] == min(store.file_hashes[:1] + store.file_hashes[2:])
    assert store.hashes[1] == store.file_hashes[1]
    assert store.duplicates == [[first, *copies]]
    assert store.fingerprint != ImageStore.build([first, other], SPEC, cache).fingerprint


def test_names_of_contents_depend_on_the_size_only_where_there_are_copies(folder: Path, cache: Path) -> None:
    """So that encoders of different input sizes are probed on the same split."""
    paths = [save_noise(folder / f"{i}.png", i) for i in range(3)]
    small = SPEC.model_copy(update={"height": 16})
    one, other = (ImageStore.build(paths, spec, cache) for spec in (SPEC, small))
    assert one.hashes == other.hashes
    assert one.pixel_hashes != other.pixel_hashes


def test_a_batch_is_a_copy(folder: Path, cache: Path) -> None:
    store = ImageStore.build([save_noise(folder / "0.png", 0)], SPEC, cache)
    before = store.batch(np.array([0]))
    store.batch(np.array([0]))[:] = 0
    np.testing.assert_array_equal(store.batch(np.array([0])), before)


@pytest.mark.parametrize("reopened", [False, True])
def test_bad_files_are_set_aside_and_duplicates_reported(folder: Path, cache: Path, reopened: bool) -> None:
    paths = mixed(folder)
    for _ in range(1 + reopened):
        store = ImageStore.build(paths, SPEC, cache)
    assert store.paths == [paths[0], paths[2], paths[4]]
    assert store.bad == [(paths[1], "file is empty"), (paths[3], "no such file or directory")]
    assert store.duplicates == [[paths[0], paths[2]]]
    np.testing.assert_array_equal(store.batch(np.array([2]))[0], load_image(paths[4], SPEC).pixels)


def test_notes_are_kept(folder: Path, cache: Path) -> None:
    Image.fromarray(np.full((9, 9), 800, np.uint16)).save(folder / "deep.png")
    for _ in range(2):
        store = ImageStore.build([folder / "deep.png"], SPEC, cache)
        assert [(path.name, "12 bits" in note) for path, note in store.notes] == [("deep.png", True)]


def test_same_files_are_not_decoded_again(folder: Path, cache: Path, request: pytest.FixtureRequest) -> None:
    paths = mixed(folder)
    first = ImageStore.build(paths, SPEC, cache)
    request.getfixturevalue("no_decoding")
    second = ImageStore.build(paths, SPEC, cache)
    everything = np.arange(len(first))
    np.testing.assert_array_equal(second.batch(everything), first.batch(everything))
    assert (second.hashes, second.fingerprint) == (first.hashes, first.fingerprint)


def touch(path: Path) -> None:
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


@pytest.mark.parametrize("change", ["time", "content", "list", "order", "spec", "options", "repair"])
def test_any_change_decodes_again(
    folder: Path, cache: Path, change: str, request: pytest.FixtureRequest
) -> None:
    paths = mixed(folder)
    ImageStore.build(paths, SPEC, cache)
    request.getfixturevalue("no_decoding")
    spec, options = SPEC, ReadOptions()
    match change:
        case "time":
            touch(paths[0])
        case "content":
            save_noise(paths[0], 9, (21, 30, 3))
        case "list":
            paths = paths[:-1]
        case "order":
            paths = paths[::-1]
        case "spec":
            spec = SPEC.model_copy(update={"resize": "crop"})
        case "options":
            options = ReadOptions(max_pixels=1000)
        case "repair":
            save_noise(paths[3], 3)
    with pytest.raises(AssertionError, match="decoded again"):
        ImageStore.build(paths, spec, cache, options=options)


def test_fingerprint_speaks_of_contents_and_spec_alone(folder: Path, cache: Path) -> None:
    paths = [save_noise(folder / f"{i}.png", i) for i in range(3)]
    print_ = ImageStore.build(paths, SPEC, cache).fingerprint
    assert re.fullmatch("[0-9a-f]{64}", print_)
    renamed = [path.rename(folder / f"x{path.name}") for path in paths]
    assert ImageStore.build(renamed[::-1], SPEC, cache).fingerprint == print_
    gray = SPEC.model_copy(update={"channels": 1})
    assert ImageStore.build(renamed, gray, cache).fingerprint != print_
    assert ImageStore.build(renamed[:2], SPEC, cache).fingerprint != print_


@pytest.mark.parametrize("damage", ["cut pixels", "no pixels", "torn index", "odd index", "short index"])
def test_a_damaged_cache_is_built_anew(folder: Path, cache: Path, damage: str) -> None:
    paths = mixed(folder)
    want = ImageStore.build(paths, SPEC, cache).batch(np.arange(3))
    (home,) = cache.iterdir()
    pixels, index = home / "pixels.npy", home / "index.json"
    match damage:
        case "cut pixels":
            os.truncate(pixels, pixels.stat().st_size - 1)
        case "no pixels":
            pixels.unlink()
        case "torn index":
            os.truncate(index, index.stat().st_size // 2)
        case "odd index":
            index.write_text('[{"path": "0.png"}]')
        case "short index":
            index.write_text(json.dumps(json.loads(index.read_text())[:-1]))
    np.testing.assert_array_equal(ImageStore.build(paths, SPEC, cache).batch(np.arange(3)), want)
    assert list(cache.iterdir()) == [home]


def test_names_that_are_not_utf8(folder: Path, cache: Path, request: pytest.FixtureRequest) -> None:
    paths = [save_noise(folder / os.fsdecode(b"caf\xe9\n.png"), 1), folder / os.fsdecode(b"\xff.png")]
    ImageStore.build(paths, SPEC, cache)
    request.getfixturevalue("no_decoding")
    store = ImageStore.build(paths, SPEC, cache)
    assert store.paths == paths[:1]
    assert store.bad == [(paths[1], "no such file or directory")]
    store.fingerprint.encode()


def test_no_good_image_says_how_many_and_why(folder: Path, cache: Path) -> None:
    paths = [folder / f"{i}.png" for i in range(5)] + [folder / os.fsdecode(b"\xff.png")]
    for path in paths[:2]:
        path.touch()
    with pytest.raises(OnlygoodError) as caught:
        ImageStore.build(paths, SPEC, cache)
    message = str(caught.value)
    assert message.startswith("none of the 6 images can be read")
    assert "0.png: file is empty" in message
    assert "2.png: no such file or directory" in message
    assert not list(cache.iterdir()), "nothing unfinished may stay"


def test_no_files_at_all(cache: Path) -> None:
    for act in (lambda: ImageStore.build([], SPEC, cache), lambda: survey_images([])):
        with pytest.raises(OnlygoodError, match="no images"):
            act()


def test_cache_that_cannot_be_written(folder: Path, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(OnlygoodError, match="set ONLYGOOD_CACHE"):
        ImageStore.build([save_noise(folder / "0.png", 0)], SPEC, cache)


def test_full_disk_is_an_error_before_decoding(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OnlygoodError, match="No space left on device"):
        ImageStore.build([save_noise(folder / "0.png", 0)], SPEC, cache)
    assert not list(cache.iterdir())


def test_interrupted_building_leaves_nothing(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(images, "load_image", interrupt)
    with pytest.raises(KeyboardInterrupt):
        ImageStore.build([save_noise(folder / "0.png", 0)], SPEC, cache)
    assert not list(cache.iterdir())


def test_nothing_is_written_to_stdout_or_a_stderr_that_is_no_terminal(
    folder: Path, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ImageStore.build(mixed(folder), SPEC, cache)
    assert capfd.readouterr() == ("", "")


def test_memory_does_not_grow_with_the_folder(folder: Path, cache: Path) -> None:
    path = save_noise(folder / "0.png", 0)
    spec = InputSpec(height=200, width=200, channels=3)  # 120 kB an image
    ImageStore.build([path], spec, cache)
    tracemalloc.start()
    ImageStore.build([path] * 200, spec, cache, workers=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000  # bytes; the pixels are 24 000 000


def build(paths: list[Path], cache: Path, start: "multiprocessing.synchronize.Barrier") -> None:
    start.wait(30)
    store = ImageStore.build(paths, SPEC, cache)
    want = np.stack([load_image(path, SPEC).pixels for path in paths])
    np.testing.assert_array_equal(store.batch(np.arange(len(store))), want)


def test_processes_that_build_at_once_agree(folder: Path, cache: Path) -> None:
    paths = [save_noise(folder / f"{i}.png", i) for i in range(40)]
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    builders = [context.Process(target=build, args=(paths, cache, start)) for _ in range(2)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(60)
    assert [builder.exitcode for builder in builders] == [0, 0]
    assert len(list(cache.iterdir())) == 1


def test_losing_the_race_opens_the_winners_cache(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process publishes while ours is still decoding."""
    paths = mixed(folder)
    decode_all = images._decode_all

    def slow(*args: object, **options: object) -> None:
        decode_all(*args, **options)
        monkeypatch.setattr(images, "_decode_all", decode_all)
        ImageStore.build(paths, SPEC, cache)

    monkeypatch.setattr(images, "_decode_all", slow)
    store = ImageStore.build(paths, SPEC, cache)
    np.testing.assert_array_equal(store.batch(np.array([0]))[0], load_image(paths[0], SPEC).pixels)
    assert len(list(cache.iterdir())) == 1
