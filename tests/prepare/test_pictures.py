"""Images through prepare: folders, tables of paths and of bytes, every kind of file, broken ones, and near duplicates."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from prepare_helpers import run, whole

from modelyard.blueprint import Blueprint
from modelyard.errors import DataError
from modelyard.features import images
from modelyard.prepare import pictures, reading
from modelyard.run import run as run_stages
from modelyard.store import hash_file
from tests import toys
from tests.toys import png, stripes, write_stripes

Image = pytest.importorskip("PIL.Image")


def smooth(seed: int, side: int = 48) -> Any:
    """A grey image of soft patches, like no other."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6)).astype(np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def saved(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    memory = io.BytesIO()
    image.save(memory, format=kind, **options)
    return memory.getvalue()


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def shelves(count: int = 60) -> dict[str, bytes]:
    """Different images in two folders."""
    return {f"{'cat' if number % 2 else 'dog'}/{number:02d}.png": saved(smooth(number)) for number in range(count)}


# -- where images come from ----------------------------------------------------------------------------------------------


def test_a_folder_a_class(tmp_path: Path) -> None:
    write_stripes(tmp_path, rows=80)
    record = run(tmp_path, "pictures", "label")
    assert record.task == "image-classification"
    assert record.inputs_types() == {"image": "image"}
    assert (record.column("file").role, record.column("label").role) == ("ignored", "target")
    assert [(file["files"], file["rows"]) for file in record.source["files"]] == [(80, 80)]
    rows = whole(tmp_path)
    assert rows["image"].dtype == pl.Binary and rows.height == 80
    assert {(file.split("/")[0], label) for file, label in rows.select("file", "label").iter_rows()} == {
        ("across", "across"), ("down", "down"),
    }  # fmt: skip
    assert record.suspects == (), "that a file's folder tells its label is no leak"


def test_the_data_card_says_what_the_images_are_like(tmp_path: Path) -> None:
    files = shelves(40)
    files["cat/colour.png"] = png(np.random.default_rng(0).integers(0, 256, (30, 50, 3)).astype(np.uint8))
    fill(tmp_path / "pets", files)
    facts = run(tmp_path, "pets", "label").column("image").facts
    assert facts["modes"] == {"L": 40, "RGB": 1}
    assert (facts["width"]["0.5"], facts["width"]["1"], facts["height"]["0"]) == (48.0, 50.0, 30.0)
    assert facts["bytes"]["0.5"] > 100 and 0 < facts["brightness"]["0.5"] < 255


def test_given_splits_are_folders_of_folders(tmp_path: Path) -> None:
    for number, (label, data) in enumerate(stripes(90)):
        split = ("train", "train", "train", "val", "test")[number // 2 % 5]
        fill(tmp_path / "given", {f"{split}/{label}/{number}.png": data})
    record = run(tmp_path, "given", "label")
    assert record.split_by == "files" and record.given == ("train", "validation", "test")
    assert sum(card.rows for card in record.splits.values()) == 90
    assert all(set(card.target) == {"across", "down"} for card in record.splits.values())


@pytest.mark.parametrize("shape", ["csv", "jsonl", "parquet"])
def test_a_table_of_paths(tmp_path: Path, shape: str) -> None:
    files = shelves()
    fill(tmp_path / "data" / "pets", files)
    table = pl.DataFrame({"photo": [f"pets/{name}" for name in files], "kind": [name.split("/")[0] for name in files]})
    getattr(table, {"csv": "write_csv", "jsonl": "write_ndjson", "parquet": "write_parquet"}[shape])(
        tmp_path / "data" / f"rows.{shape}"
    )
    record = run(tmp_path, f"data/rows.{shape}", "kind")
    assert record.task == "image-classification" and record.inputs_types() == {"photo": "image"}
    assert set(whole(tmp_path)["photo"].to_list()) == set(files.values())


def test_a_table_of_bytes(tmp_path: Path) -> None:
    labels, data = zip(*stripes(60), strict=True)
    pl.DataFrame({"picture": data, "label": labels}).write_parquet(tmp_path / "rows.parquet")
    record = run(tmp_path, "rows.parquet", "label")
    assert record.task == "image-classification"
    assert sorted(whole(tmp_path)["picture"].to_list()) == sorted(data)


def test_declared_base64_is_decoded_and_what_is_none_is_counted(tmp_path: Path) -> None:
    found = stripes(60)
    rows = [{"picture": base64.b64encode(data).decode(), "label": label} for label, data in found]
    rows[7]["picture"] = "§§§"
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    record = run(tmp_path, "rows.jsonl", "label", data={"columns": {"picture": "image"}})
    assert record.task == "image-classification" and record.column("picture").missing == 1
    assert {step.name: step.before for step in record.cleaning}["unreadable"] == 1
    kept = [data for data in whole(tmp_path)["picture"].to_list() if data is not None]
    assert sorted(kept) == sorted(data for number, (_, data) in enumerate(found) if number != 7)


def test_tables_in_a_folder_are_read_and_pictures_beside_them_are_not(tmp_path: Path) -> None:
    (tmp_path / "mixed").mkdir()
    toys.write_table(tmp_path / "mixed")
    fill(tmp_path / "mixed", {"plots/figure.png": png(np.zeros((9, 9), np.uint8))})
    assert run(tmp_path, "mixed", "status").task == "tabular-classification"


def test_binary_columns_that_are_no_images_stay_ignored(tmp_path: Path) -> None:
    frame = toys.table(200).drop("price").with_columns(blob=pl.Series([b"\x00%d" % number for number in range(200)]))
    frame.write_parquet(tmp_path / "rows.parquet")
    record = run(tmp_path, "rows.parquet", "status")
    assert (record.task, record.column("blob").type) == ("tabular-classification", "ignore")


# -- kinds of files ------------------------------------------------------------------------------------------------------


def test_every_kind_of_file_is_read_and_seen_upright(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    grey, colour = rng.integers(0, 256, (20, 30)).astype(np.uint8), rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)
    deep, clear = rng.integers(0, 65536, (20, 30)).astype(np.uint16), rng.integers(0, 256, (20, 30, 4)).astype(np.uint8)
    kinds = {
        "a.png": png(grey), "b.png": png(colour), "c.png": png(clear), "d.png": png(deep), "e.jpg": png(colour, kind="JPEG"),
        "f.webp": png(grey, kind="WEBP"), "g.gif": png(grey, kind="GIF"), "h.bmp": png(colour, kind="BMP"), "i.tiff": png(grey, kind="TIFF"),
        "j.PNG": png(colour, mode="P"), "k.jpeg": png(colour, kind="JPEG", exif=exif), "l.tif": png(colour, mode="CMYK", kind="TIFF"),
    }  # fmt: skip
    files = {f"odd/{name}": data for name, data in kinds.items()}
    fill(tmp_path / "all", {**files, **{f"plain/{number}.png": saved(smooth(number)) for number in range(12)}})
    record = run(tmp_path, "all", "label", prepare={"near_duplicates": None})
    assert not [step for step in record.cleaning if step.name == "broken_images"]
    assert record.column("image").rows == 24
    looked = pictures.look(pl.Series([kinds["k.jpeg"]]))
    upright = images.resized(images.pixels(png(np.rot90(colour, -1), kind="PNG"), channels=1), 16, fit="squash")
    assert np.abs(looked.thumbs[0].astype(float) - upright[:, :, 0]).mean() < 15  # JPEG loses much of noise


# -- broken files --------------------------------------------------------------------------------------------------------


def test_broken_files_are_listed_and_left_out(tmp_path: Path) -> None:
    files = shelves()
    files |= {"cat/cut.png": saved(smooth(99))[:400], "dog/none.jpg": b"", "dog/text.png": b"not an image"}
    fill(tmp_path / "pets", files)
    record = run(tmp_path, "pets", "label")
    (step,) = [step for step in record.cleaning if step.name == "broken_images"]
    assert (step.column, step.before, step.after) == ("image", 63, 60)
    assert set(step.detail["listed"]) == {"cat/cut.png", "dog/none.jpg", "dog/text.png"}
    assert "no image of a known format" in step.detail["listed"]["dog/text.png"]
    assert not set(whole(tmp_path)["file"]) & set(step.detail["listed"])
    assert run(tmp_path, "pets", "label", out="again").cleaning == record.cleaning


def test_broken_images_of_a_table_are_called_by_their_row(tmp_path: Path) -> None:
    labels, data = (list(part) for part in zip(*stripes(60), strict=True))
    data[4], labels[2] = data[4][:100], None
    pl.DataFrame({"picture": data, "label": labels}).write_parquet(tmp_path / "rows.parquet")
    record = run(tmp_path, "rows.parquet", "label")
    (step,) = [step for step in record.cleaning if step.name == "broken_images"]
    assert list(step.detail["listed"]) == ["row 5"], "as the source counts, rows without an answer included"


def test_nothing_but_broken_images_is_an_error(tmp_path: Path) -> None:
    heads = {f"{'cat' if number % 2 else 'dog'}/{number}.png": b"\x89PNG\r\n\x1a\n" for number in range(20)}
    fill(tmp_path / "pets", heads)
    with pytest.raises(DataError, match="no image of the column 'image' can be read; the first "):
        run(tmp_path, "pets", "label")


def test_paths_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    files = shelves(40)
    fill(tmp_path, files)
    names = [*files, "cat/gone.png", "dog/lost.png"]
    pl.DataFrame({"photo": names, "kind": [name[:3] for name in names]}).write_csv(tmp_path / "rows.csv")
    with pytest.raises(
        DataError, match=r"'photo' names image files that are not there.*: cat/gone\.png, dog/lost\.png"
    ):
        run(tmp_path, "rows.csv", "kind")


def test_addresses_are_not_fetched(tmp_path: Path) -> None:
    addresses = [f"https://example.org/{number}.png" for number in range(40)]
    pl.DataFrame({"photo": addresses, "kind": ["a", "b"] * 20}).write_csv(tmp_path / "rows.csv")
    with pytest.raises(DataError, match=r"addresses of images. Nothing is fetched"):
        run(tmp_path, "rows.csv", "kind")


def test_names_of_images_that_are_all_elsewhere_are_text_like_any_other(tmp_path: Path) -> None:
    scans = pl.Series([f"scan-{number % 40}.png" for number in range(200)])
    toys.table(200).drop("price").with_columns(scan=scans).write_csv(tmp_path / "rows.csv")
    record = run(tmp_path, "rows.csv", "status")
    assert record.task == "tabular-classification" and record.column("scan").type == "category"


# -- near duplicates -----------------------------------------------------------------------------------------------------


def versions(number: int) -> dict[str, bytes]:
    """One image saved in five ways: another format, another size, a little brighter."""
    image = smooth(number)
    brighter = Image.fromarray(np.clip(np.asarray(image).astype(int) + 2, 0, 255).astype(np.uint8))
    return {
        "a.png": saved(image), "b.jpg": saved(image, "JPEG", quality=90), "c.png": saved(image.resize((96, 96), Image.Resampling.BICUBIC)),
        "d.png": saved(brighter), "e.bmp": saved(image, "BMP"),
    }  # fmt: skip


def test_near_duplicates_never_stand_on_both_sides(tmp_path: Path) -> None:
    files = {
        f"{'cat' if number % 2 else 'dog'}/{number:02d}{end}": data
        for number in range(30)
        for end, data in versions(number).items()
    }
    fill(tmp_path / "pets", files)
    record = run(tmp_path, "pets", "label")
    assert record.duplicates["clusters"] == 30 and record.duplicates["rows"] == 150
    assert record.duplicates["largest"] == 5 and record.duplicates["exact"] == 30, (
        "a.png and e.bmp hold the same pixels"
    )
    rows = whole(tmp_path).with_columns(number=pl.col("file").str.extract(r"/(\d\d)", 1))
    sides = rows.group_by("number").agg(pl.col("side").n_unique(), pl.col("__group__").n_unique())
    assert set(sides["side"]) == {1} and set(sides["__group__"]) == {1}
    assert set(rows["side"]) == {"train", "validation", "test"}


def test_exact_duplicates_alone_are_joined_where_the_blueprint_says_so(tmp_path: Path) -> None:
    files = {
        f"{'cat' if number % 2 else 'dog'}/{number:02d}{end}": data
        for number in range(20)
        for end, data in versions(number).items()
    }
    fill(tmp_path / "pets", files)
    record = run(tmp_path, "pets", "label", prepare={"near_duplicates": None})
    assert record.duplicates["clusters"] == 20 and record.duplicates["rows"] == 40


def test_images_that_differ_are_not_joined(tmp_path: Path) -> None:
    write_stripes(tmp_path, rows=120)
    assert run(tmp_path, "pictures", "label").duplicates["clusters"] == 0


def test_a_repeat_of_a_given_test_image_leaves_the_training_rows(tmp_path: Path) -> None:
    for number in range(60):
        split = "test" if number % 5 == 0 else "train"
        fill(tmp_path / "given", {f"{split}/{'cat' if number % 2 else 'dog'}/{number}.png": saved(smooth(number))})
    fill(tmp_path / "given", {"train/cat/again.jpg": saved(smooth(5), "JPEG", quality=90)})
    record = run(tmp_path, "given", "label")
    assert "repeated_across_splits" in {step.name for step in record.cleaning}
    assert "again.jpg" not in "".join(whole(tmp_path)["file"])


def test_flat_images_are_no_near_duplicates() -> None:
    """Blank pages say nothing: only equal pixels make two of them copies."""
    flat = [png(np.full((20, 20), value, dtype=np.uint8)) for value in (100, 101, 102)]
    assert pictures.near(pictures.look(pl.Series(flat))).shape == (0, 2)


def test_a_missing_image_is_like_no_other() -> None:
    files = [None, saved(smooth(1)), None, saved(smooth(1), "JPEG", quality=95)]
    looked = pictures.look(pl.Series(files, dtype=pl.Binary))
    assert looked.marks.tolist()[0] == looked.marks.tolist()[2] == -1 and looked.faults == ("", "", "", "")
    assert pictures.near(looked).tolist() == [[1, 3]]


# -- what makes the stage stale --------------------------------------------------------------------------------------------


def test_an_image_that_moves_to_another_folder_is_prepared_again(tmp_path: Path) -> None:
    """Its bytes are the same; its label is not."""
    fill(tmp_path / "pets", shelves(40))
    blueprint = Blueprint.build(folder=tmp_path, name="demo", size="tiny", data={"source": "pets", "target": "label"})
    run_stages(blueprint, tmp_path / "out", to="prepare")
    before = (tmp_path / "out" / "prepare.json").stat().st_mtime_ns
    run_stages(blueprint, tmp_path / "out", to="prepare")
    assert (tmp_path / "out" / "prepare.json").stat().st_mtime_ns == before
    (tmp_path / "pets" / "cat").rename(tmp_path / "pets" / "cow")
    build = run_stages(blueprint, tmp_path / "out", to="prepare")
    assert set(build.records["prepare"].splits["train"].target) == {"cow", "dog"}  # type: ignore[attr-defined]


@pytest.mark.parametrize("shape", ["csv", "parquet"])
def test_an_image_that_changes_under_the_name_in_a_table_is_prepared_again(shape: str, tmp_path: Path) -> None:
    """The table's bytes are the same; what it names is not."""
    files = shelves(40)
    fill(tmp_path / "pets", files)
    table = pl.DataFrame({"photo": [f"pets/{name}" for name in files], "kind": [name.split("/")[0] for name in files]})
    getattr(table, f"write_{shape}")(tmp_path / f"rows.{shape}")
    blueprint = Blueprint.build(
        folder=tmp_path, name="demo", size="tiny", data={"source": f"rows.{shape}", "target": "kind"}
    )
    first = run_stages(blueprint, tmp_path / "out", to="prepare")
    before = (tmp_path / "out" / "prepare.json").stat().st_mtime_ns
    run_stages(blueprint, tmp_path / "out", to="prepare")
    assert (tmp_path / "out" / "prepare.json").stat().st_mtime_ns == before
    changed = saved(smooth(999))
    (tmp_path / "pets" / next(iter(files))).write_bytes(changed)
    build = run_stages(blueprint, tmp_path / "out", to="prepare")
    rows = pl.concat(
        [pl.read_parquet(file) for file in sorted((tmp_path / "out" / "data").glob("*.parquet"))], how="diagonal"
    )
    assert changed in rows["photo"].to_list()
    assert build.records["prepare"].source != first.records["prepare"].source  # type: ignore[attr-defined]


def test_a_table_that_names_no_images_is_hashed_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\nx,1\ny,2\n")
    pl.DataFrame({"a": ["x.png is a name", "y"]}).write_parquet(tmp_path / "rows.parquet")
    for name in ("rows.csv", "rows.parquet"):
        assert reading.marks([tmp_path / name]) == [hash_file(tmp_path / name)]
