import hashlib
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from onlygood.anomaly.evaluation.evaluate import evaluate
from onlygood.deploy.commands import evaluate as command
from onlygood.deploy.options.models import EvaluateOptions
from onlygood.deploy.options.shared import MetricsFormat
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.model.detector import Detector


def digest(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def test_numbers_by_hand(make_model, spots):
    # Good score 10…40 of 255, bright 200 and 201, faint 35 and 36: the faint beat three of four good.
    result = evaluate(make_model(), spots, seed=1)
    assert result["image_auroc"]["value"] == pytest.approx((4 + 4 + 3 + 3) / 16)
    assert result["per_defect"]["bright"]["auroc"] == 1.0
    assert result["per_defect"]["faint"]["auroc"] == 0.75
    assert result["per_defect"]["faint"]["n"] == 2
    assert result["fpr95"]["value"] == 0.25
    assert result["f1_max"]["value"] == pytest.approx(2 * 4 / (4 + 5))
    assert result["f1_max"]["threshold"] == pytest.approx(35 / 255)
    assert result["threshold"] == 0.45  # 115 of 255
    assert result["false_alarms"]["promised"] == 0.1
    assert result["false_alarms"]["achieved"] == 0
    assert result["false_alarms"]["high"] == pytest.approx(1 - 0.025 ** (1 / 4))
    assert result["detected"]["achieved"] == 0.5
    assert (result["n_good"], result["n_anomalous"], result["seed"]) == (4, 4, 1)
    assert result["unreadable"] == result["unusable_masks"] == []
    assert result["images_per_second"] > 0
    assert "2, faint 2" in result["dataset_description"]
    json.dumps(result)


def test_detections_at_other_promised_rates(make_model, spots):
    # Of 20 calibration scores the largest is the threshold at .05, a rate of .01 would need 99.
    scores = [i / 1000 for i in range(120, 140)]  # the faint score 35 and 36 of 255, .137 and .141
    found = evaluate(make_model(calibration={"scores": scores, "max_false_alarms": 0.1}), spots)["at_rates"]
    assert found["0.01"] is None
    assert found["0.05"]["threshold"] == 0.139
    assert found["0.05"]["detected"]["achieved"] == 0.75
    assert found["0.05"]["false_alarms"]["achieved"] == 0.25  # the good one of 40 of 255
    assert found["0.05"]["false_alarms"]["high"] == pytest.approx(0.80588, abs=1e-5)


def test_the_same_seed_gives_the_same_result(make_model, spots):
    model = make_model()
    first, second = (evaluate(model, spots, seed=3) for _ in range(2))
    for result in (first, second):
        del result["images_per_second"]
    assert first == second


def test_pixel_auroc_is_that_of_all_pixels_at_once(make_model, draw, tmp_path):
    rng = np.random.default_rng(0)
    values, labels = [], []
    for i in range(6):
        cells = rng.integers(0, 200, (4, 4))
        spots = [((8 * y, 8 * y + 8, 8 * x, 8 * x + 8), cells[y, x]) for y in range(4) for x in range(4)]
        draw(f"d/{'bad' if i % 2 else 'good'}/{i}.png", 0, spots=spots)
        mask = np.zeros((32, 32), bool)
        if i % 2:
            mask[8 * (i // 2) : 8 * (i // 2) + 8, 8:20] = True
            draw(f"d/masks/bad/{i}.png", 0, spots=[((8 * (i // 2), 8 * (i // 2) + 8, 8, 20), 255)])
        smooth = Image.fromarray(cells.astype(np.float32) / 255).resize((32, 32), Image.Resampling.BILINEAR)
        values.append(np.asarray(smooth))
        labels.append(mask)
    result = evaluate(make_model(), tmp_path / "d")
    exact = roc_auc_score(np.ravel(labels), np.ravel(values))
    assert result["pixel_auroc"]["value"] == pytest.approx(exact, abs=result["pixel_binning_error"])
    assert result["pixel_binning_error"] < 0.005


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
def test_heatmaps_return_to_the_geometry_of_the_image(make_model, draw, tmp_path, resize):
    # Twice as wide as high: squeezed, on a canvas with bars, or cut to the middle 64 columns.
    draw("d/good/0.png", 10, size=(64, 128))
    draw("d/spot/0.png", 10, spots=[((16, 32, 64, 80), 250)], size=(64, 128))
    model = make_model(input={"height": 32, "width": 32, "channels": 1, "resize": resize})

    def found(down: int, right: int) -> float:
        mask = (16 + down, 32 + down, 64 + right, 80 + right)
        draw("d/masks/spot/0.png", 0, spots=[(mask, 255)], size=(64, 128))
        return evaluate(model, tmp_path / "d")["pixel_auroc"]["value"]

    shift = {"stretch": 20, "pad": 20, "crop": 4}[resize]  # more than half a cell, where cells are coarse
    here = found(0, 0)
    assert here > 0.9
    assert here > max(found(0, shift), found(0, -shift))
    assert here > max(found(shift, 0), found(-min(shift, 16), 0))
    assert found(0, -64) < 0.6


def test_masks_of_another_size_are_used_and_of_another_shape_are_not(make_model, draw, tmp_path):
    draw("d/good/0.png", 10)
    for i in range(4):
        draw(f"d/spot/{i}.png", 10, spots=[((8, 16, 16, 24), 200)])
    draw("d/masks/spot/0.png", 0, spots=[((16, 32, 32, 48), 255)], size=(64, 64))
    draw("d/masks/spot/1.png", 0, spots=[((8, 16, 16, 24), 255)], size=(32, 48))
    draw("d/masks/spot/2.png", 0)
    (tmp_path / "d/masks/spot/3.png").write_bytes(b"no image")
    result = evaluate(make_model(), tmp_path / "d")
    assert result["pixel_auroc"]["value"] > 0.95
    reasons = [item["reason"] for item in result["unusable_masks"]]
    assert "48 x 32 pixels" in reasons[0]
    assert "empty" in reasons[1]
    assert "3.png" in reasons[2]
    assert result["n_anomalous"] == 4


def test_without_masks_there_are_no_pixel_metrics(make_model, draw, tmp_path):
    draw("d/good/0.png", 10)
    draw("d/bad/0.png", 200)
    result = evaluate(make_model(), tmp_path / "d")
    assert result["pixel_auroc"] is result["pixel_ap"] is result["aupro"] is result["aupro_05"] is None


def test_unreadable_files_are_named_and_left_out(make_model, spots):
    (spots / "test/good/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (spots / "test/bright/empty.png").write_bytes(b"")
    result = evaluate(make_model(), spots)
    assert [item["path"].rsplit("/", 2)[1:] for item in result["unreadable"]] == [
        ["bright", "empty.png"],
        ["good", "broken.png"],
    ]
    assert result["unreadable"][0]["reason"] == "file is empty"
    assert (result["n_good"], result["n_anomalous"]) == (4, 4)


def test_images_that_the_model_was_fitted_on_are_left_out_whatever_their_name(make_model, spots):
    shutil.copy(spots / "train/good/0.png", spots / "test/good/renamed.png")
    hashes = [digest(path) for path in sorted((spots / "train/good").iterdir())]
    unsaid = evaluate(make_model(), spots)
    assert (unsaid["excluded_seen"], unsaid["n_good"]) == (None, 5)
    said = evaluate(make_model(provenance={"image_hashes": hashes}), spots)
    assert (said["excluded_seen"], said["n_good"]) == (1, 4)
    none = evaluate(make_model(provenance={"image_hashes": []}), spots)
    assert (none["excluded_seen"], none["n_good"]) == (0, 5)


def test_images_that_were_saved_anew_are_left_out_by_their_pixels(make_model, spots):
    """A copy in another format has another file's hash, and the same pixels."""
    train = spots / "train/good/0.png"
    with Image.open(train) as image:
        pixels = np.asarray(image)
        image.save(spots / "test/good/anew.bmp")
    assert digest(train) != digest(spots / "test/good/anew.bmp")
    known = {"image_hashes": [digest(train)], "pixel_hashes": [hashlib.sha256(pixels).hexdigest()[:16]]}
    said = evaluate(make_model(provenance=known), spots)
    assert (said["excluded_seen"], said["n_good"]) == (1, 4)


def test_nothing_left_to_test_on_says_why(make_model, spots, draw, tmp_path):
    hashes = [digest(path) for path in sorted((spots / "test").rglob("*.png"))]
    with pytest.raises(OnlygoodError, match=r"no images to test on: found 8 .*; 8 images were left out"):
        evaluate(make_model(provenance={"image_hashes": hashes}), spots)
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat/0.png").write_bytes(b"")
    with pytest.raises(OnlygoodError, match=r"found 1 .*flat folder.* 1 images could not be read"):
        evaluate(make_model(), tmp_path / "flat")


def test_every_image_is_reported_as_progress(make_model, spots):
    seen = []
    evaluate(make_model(), spots, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 8) for i in range(1, 9)]


def test_order_of_images_and_scores_agree_with_the_runtime(make_model, spots, tmp_path):
    model = make_model()
    evaluate(model, spots, output=tmp_path / "out")
    detector = Detector.load(model)
    lines = (tmp_path / "out/scores.csv").read_text().splitlines()[1:]
    assert len(lines) == 8
    for line in lines:
        path, _, _, score, p_value, anomalous, _ = line.split(",")
        single = detector.score(path)
        assert float(score) == pytest.approx(single.score)
        assert float(p_value) == pytest.approx(single.p_value)
        assert anomalous == str(int(single.anomalous))


def test_a_report_inside_the_data_never_becomes_data(make_model, draw, tmp_path):
    for i in range(4):
        draw(f"d/good/{i}.png", 10 + i)
        draw(f"d/bad/{i}.png", 100 + i)
    model = make_model()
    first, second = (evaluate(model, tmp_path / "d", output=tmp_path / "d/report") for _ in range(2))
    assert first["image_auroc"] == second["image_auroc"]
    assert list(second["per_defect"]) == ["bad"]
    assert second["n_anomalous"] == 4
    with pytest.raises(OnlygoodError, match="give a new folder"):
        evaluate(model, tmp_path / "d", output=tmp_path / "d")


def test_classes_of_every_gray_level_count(make_model, draw, tmp_path):
    # Even images of 1024 pixels each, so that all pixels of one have the same heat: 30 good; 100 and 20 not.
    draw("d/good/0.png", 30)
    draw("d/bad/0.png", 100)
    draw("d/bad/1.png", 20)
    draw("d/masks/bad/0.png", 0, spots=[((0, 16, 0, 16), 255)])
    draw("d/masks/bad/1.png", 0, spots=[((0, 16, 0, 16), 60), ((24, 32, 24, 32), 255)])
    result = evaluate(make_model(), tmp_path / "d")
    defect, good = {100: 256, 20: 256 + 64}, {30: 1024, 100: 1024 - 256, 20: 1024 - 320}
    pairs = sum(d * g * ((a > b) + (a == b) / 2) for a, d in defect.items() for b, g in good.items())
    exact = pairs / (576 * 2496)
    assert exact == pytest.approx(0.45442, abs=1e-5)  # without the class of 60 it would be .72324
    # Descending: 100 with 256 defect pixels of 1024, then 30 with none of 1024, then 20 with 320 of 1024.
    precision = 256 / 576 * 256 / 1024 + 320 / 576 * 576 / 3072
    assert result["pixel_ap"]["value"] == pytest.approx(precision, abs=1e-6)
    assert (result["aupro"]["limit"], result["aupro_05"]["limit"]) == (0.3, 0.05)
    assert result["pixel_auroc"]["value"] == pytest.approx(exact, abs=1e-6)


def test_inverted_masks_are_questioned_and_photographs_not_used(make_model, draw, tmp_path):
    rng = np.random.default_rng(0)
    draw("d/good/0.png", 10)
    for i in range(3):
        draw(f"d/spot/{i}.png", 10, spots=[((8, 16, 16, 24), 200)])
    draw("d/masks/spot/0.png", 0, spots=[((8, 16, 16, 24), 255)])
    draw("d/masks/spot/1.png", 255, spots=[((8, 16, 16, 24), 0)])
    Image.fromarray(rng.integers(0, 256, (32, 32), np.uint8)).save(tmp_path / "d/masks/spot/2.png")
    result = evaluate(make_model(), tmp_path / "d")
    (questioned,), (unusable,) = result["questioned_masks"], result["unusable_masks"]
    assert questioned["path"].endswith("1.png")
    assert "94% of the image: is it inverted?" in questioned["reason"]
    assert "photograph" in unusable["reason"]


def test_good_images_alone_give_the_rate_of_false_alarms(make_model, draw, tmp_path):
    for i, gray in enumerate((10, 20, 200, 30)):
        draw(f"good/{i}.png", gray)
    result = evaluate(make_model(), tmp_path / "good", output=tmp_path / "out")
    assert result["false_alarms"]["achieved"] == 0.25
    assert result["false_alarms"]["low"] == pytest.approx(1 - 0.975 ** (1 / 4))
    assert result["detected"] == {"achieved": None, "low": None, "high": None}
    missing = ("image_auroc", "image_ap", "fpr95", "f1_max", "pixel_auroc", "aupro", "pixel_binning_error")
    assert [result[key] for key in missing] == [None] * len(missing)
    assert result["per_defect"] == {}
    assert (result["n_good"], result["n_anomalous"]) == (4, 0)
    assert not (tmp_path / "out/roc.png").exists()
    assert (tmp_path / "out/scores.png").exists()
    assert json.loads((tmp_path / "out/metrics.json").read_text())["detected"]["achieved"] is None


def test_anomalous_images_alone_give_the_rate_of_detections(make_model, draw, tmp_path):
    for i, gray in enumerate((10, 120, 200, 130)):
        draw(f"test/dent/{i}.png", gray, spots=[((0, 8, 0, 8), 5)])
        draw(f"ground_truth/dent/{i}.png", 0, spots=[((0, 8, 0, 8), 255)])
    result = evaluate(make_model(), tmp_path / "test", output=tmp_path / "out")
    assert result["detected"]["achieved"] == 0.75
    assert result["false_alarms"]["achieved"] is None
    assert result["false_alarms"]["promised"] == 0.1
    assert result["pixel_auroc"]["value"] < 0.5  # the masks lie where it is darkest
    assert result["per_defect"] == {}


def run(model, dataset, **changes) -> int:
    return command.run(EvaluateOptions(model=model, dataset=dataset, **changes))


def test_good_parts_are_counted_where_a_list_names_them(make_model, draw, tmp_path):
    """Parts of two images: a is never above .45, b once, c twice; d has a defect and is no good part."""
    rows = ["path,label,group"]
    grays = {"a": (20, 30), "b": (40, 120), "c": (150, 160), "d": (10, 250)}
    for part, values in grays.items():
        for index, value in enumerate(values):
            draw(f"d/{part}{index}.png", value)
            rows.append(f"d/{part}{index}.png,{'bad' if value == 250 else 'good'},{part}")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    found = evaluate(make_model(), tmp_path / "list.csv")["false_alarms_by_part"]
    assert (found["n"], found["achieved"], found["ranked"]) == (3, pytest.approx(2 / 3), None)
    # Nine parts, one of which reaches .55: the second largest maximum is .45, the largest .55.
    scores = [i / 20 for i in range(9)] + [0.45, 0.55]
    held_out = {"scores": scores, "groups": [*range(9), 8, 0], "max_false_alarms": 0.1}
    found = evaluate(make_model(calibration=held_out), tmp_path / "list.csv")["false_alarms_by_part"]
    assert found["ranked"]["achieved"] == pytest.approx(1 / 3)
    assert found["ranked"]["promised"] == 0.1
    draw("e/good/0.png", 20)
    assert evaluate(make_model(), tmp_path / "e")["false_alarms_by_part"] is None


def test_command_prints_one_json_object(make_model, spots, capsys):
    assert run(make_model(), spots, format=MetricsFormat.JSON) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["image_auroc"]["value"] == 0.875
    assert "lists no training images" in err


def test_command_prints_a_table(make_model, spots, capsys):
    assert run(make_model(), spots, quiet=True) == 0
    out, err = capsys.readouterr()
    rows = [line.split() for line in out.splitlines()]
    assert ["image", "AUROC", "0.875"] in [row[:3] for row in rows]
    assert ["bright", "1.000", "1.000", "to", "1.000", "2"] in rows
    assert ["promised", "at", "most", "10.0%"] in rows
    assert err == ""


def test_command_names_unreadable_files_and_exits_with_2(make_model, spots, capsys):
    (spots / "test/good/[bold]x.png").write_bytes(b"")
    assert run(make_model(), spots) == 2
    assert "[bold]x.png: file is empty" in capsys.readouterr().err


def test_command_prints_what_good_images_alone_can_tell(make_model, draw, capsys, tmp_path):
    draw("good/0.png", 10)
    assert run(make_model(), tmp_path / "good") == 0
    out, err = capsys.readouterr()
    rows = [line.split() for line in out.splitlines()]
    assert ["good", "images", "flagged", "0.0%", "0.0%", "to", "97.5%"] in rows
    assert "AUROC" not in out
    assert "anomalous images flagged" not in out
    assert "no anomalous images: only how many good images are flagged can be measured" in err


def test_what_the_reader_did_is_said(make_model, spots, capsys):
    deep = Image.fromarray(np.full((16, 16), 4000, np.uint16))
    deep.save(spots / "test/good/0.png")
    run(make_model(), spots, format=MetricsFormat.JSON)
    out, err = capsys.readouterr()
    (note,) = json.loads(out)["notes"]
    assert note.startswith("1 image: bit depth: no value of this 16-bit image reaches 4096")
    assert note in err
