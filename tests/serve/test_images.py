"""Images and series as requests: JSON with base64, the image itself, a form; and what is said of those that cannot be read."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
from serve_helpers import Running, client, until

from modelyard import parts
from modelyard.errors import DataError
from modelyard.models._contract import Clock, Examples
from modelyard.predict import predict_file
from modelyard.predictor import Artifact, Member, Predictor
from modelyard.rows import Column, Rows, from_records
from modelyard.serve import reading
from modelyard.serve.limits import Limits
from modelyard.serve.openapi import describe, example_row
from modelyard.serve.refusing import Refused
from modelyard.store import write_json
from tests.toys import png, stripes

pytest.importorskip("PIL")
PATH = "/v1/predict"
COLUMNS = (Column(name="picture", type="image"),)
WAVES = (
    Column(name="wave", type="sequence", channels=2),
    Column(name="place", type="category", values=("left", "right")),
)


def coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real model of images, as `train` leaves it."""
    from safetensors.numpy import save_file

    place = tmp_path_factory.mktemp("pictures")
    found = stripes(60)
    rows = from_records([{"picture": data} for _, data in found], COLUMNS)
    labels = np.array([label for label, _ in found], dtype=object)
    task, model = parts.build("tasks", "image-classification"), parts.build("models", "linear")
    state = task.fit(labels, "label", COLUMNS, None)
    target = task.encode_target(labels, state)
    features = model.features(rows, target, state, seed=0)
    (place / "one").mkdir()
    write_json(place / "one" / "features.json", features)
    examples = Examples(model.encode(rows, features), target)
    weights = model.fit(examples, examples, state, features, seed=0, threads=1, clock=Clock())
    save_file(
        {name: np.ascontiguousarray(array) for name, array in weights.items()}, place / "one" / "weights.safetensors"
    )
    Artifact(name="stripes", state=state, members=(Member(candidate="linear", model="linear", folder="one"),)).save(
        place
    )
    return place


@pytest.fixture(scope="module")
def pictures(folder: Path, launch: Callable[..., Running]) -> Running:
    """The model of images, served by a real server process."""
    running = launch("-m", "modelyard.serve.server", str(folder), "--port", "0")
    until(lambda: client().get(f"{running.url}/readyz").status_code == 200)
    return running


def post(server: Running, **given: Any) -> httpx.Response:
    return client().post(server.url + PATH, **given)


def test_every_way_to_send_an_image_gets_the_same_answer(pictures: Running, folder: Path) -> None:
    data = stripes(3, seed=1)[2][1]
    (wanted,) = Predictor.open(folder).answer(from_records([{"picture": data}], COLUMNS))
    ways: dict[str, dict[str, Any]] = {
        "base64": {"json": {"row": {"picture": coded(data)}}},
        "bare": {"json": {"picture": coded(data)}},
        "data URI": {"json": {"picture": f"data:image/png;base64,{coded(data)}"}},
        "broken lines": {"json": {"picture": "\n".join([coded(data)[:40], coded(data)[40:]])}},
        "image": {"content": data, "headers": {"content-type": "image/png"}},
        "image of another name": {"content": data, "headers": {"content-type": "IMAGE/x-anything; q=1"}},
        "form": {"files": {"picture": ("a.png", data, "image/png")}},
        "form with an odd name": {"files": {"picture": ('name="other".png', data, "application/octet-stream")}},
    }
    for way, given in ways.items():
        answer = post(pictures, **given)
        assert answer.status_code == 200, (way, answer.text)
        assert answer.json()["answers"] == [wanted], way
        assert answer.json()["usage"] == {"image": 1}


def test_many_rows_and_missing_ones(pictures: Running, folder: Path) -> None:
    files = [data for _, data in stripes(5, seed=2)]
    wanted = Predictor.open(folder).answer(from_records([{"picture": data} for data in files], COLUMNS))
    answer = post(pictures, json={"rows": [{"picture": coded(data)} for data in files]})
    assert answer.json()["answers"] == wanted and answer.json()["usage"] == {"image": 5}
    assert post(pictures, json={"rows": [{"picture": None}]}).status_code == 422, "a row without any value"


GOOD = stripes(1)[0][1]
BAD: list[tuple[str, dict[str, Any], int, str | None, int | None]] = [
    ("no image", {"json": {"picture": coded(b"no image at all")}}, 422, "picture", 0),
    ("cut short", {"json": {"picture": coded(GOOD[:100])}}, 422, "picture", 0),
    ("no base64", {"json": {"picture": "a picture of a cat"}}, 422, "picture", 0),
    ("an address", {"json": {"picture": "https://example.org/cat.png"}}, 422, "picture", 0),
    ("a number", {"json": {"picture": 3}}, 422, "picture", 0),
    ("a list of numbers", {"json": {"picture": [[0, 255], [255, 0]]}}, 422, "picture", 0),
    ("the second of three", {"json": {"rows": [{"picture": coded(data)} for data in (GOOD, b"x", GOOD)]}}, 422, "picture", 1),
    ("an image that is none", {"content": b"no image", "headers": {"content-type": "image/jpeg"}}, 422, "picture", 0),
    ("a form of rubbish", {"files": {"picture": ("a.png", b"rubbish", "image/png")}}, 422, "picture", 0),
    ("a form of another field", {"files": {"photo": ("a.png", GOOD, "image/png")}}, 422, "photo", 0),
    ("a form without an end", {"content": b"--x\r\n", "headers": {"content-type": "multipart/form-data; boundary=x"}}, 400, None, None),
    ("a form without a boundary", {"content": GOOD, "headers": {"content-type": "multipart/form-data"}}, 400, None, None),
]  # fmt: skip


@pytest.mark.parametrize(("given", "status", "field", "row"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_what_cannot_be_read_is_refused_by_name(
    pictures: Running, given: dict[str, Any], status: int, field: str | None, row: int | None
) -> None:
    answer = post(pictures, **given)
    error = answer.json()["error"]
    assert (answer.status_code, error["field"], error["row"]) == (status, field, row), answer.text
    assert "0x" not in error["message"] and "Traceback" not in answer.text


def test_an_image_alone_is_refused_where_other_things_are_read(server: Running) -> None:
    answer = post(server, content=GOOD, headers={"content-type": "image/png"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (415, "unsupported_upload")
    assert "age (number)" in answer.json()["error"]["message"]


def test_an_image_of_many_pixels_is_refused_before_it_is_unpacked(pictures: Running) -> None:
    bomb = png(np.zeros((8000, 8000), dtype=np.uint8))
    answer = post(pictures, content=bomb, headers={"content-type": "image/png"})
    assert answer.status_code == 422 and "8000 x 8000 pixels" in answer.json()["error"]["message"]


def test_the_description_says_how_images_are_sent(pictures: Running) -> None:
    found = client().get(f"{pictures.url}/openapi.json").json()
    content = found["paths"][PATH]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "multipart/form-data", "image/*"}
    field = found["components"]["schemas"]["Row"]["properties"]["picture"]
    assert field["x-column-type"] == "image" and field["contentEncoding"] == "base64"
    assert post(pictures, json={"row": {"picture": field["examples"][0]}}).status_code == 200


def test_a_table_says_nothing_of_images(server: Running) -> None:
    found = client().get(f"{server.url}/openapi.json").json()
    assert set(found["paths"][PATH]["post"]["requestBody"]["content"]) == {"application/json"}


# -- forms, without a server -----------------------------------------------------------------------------------------------

BOTH = (*COLUMNS, Column(name="age", type="number"), Column(name="note", type="text"))


def form(*fields: tuple[str, bytes], end: bytes = b"--x--\r\n") -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    return b"".join(head % (name.encode(), data) for name, data in fields) + end


def test_a_form_holds_files_and_texts() -> None:
    body = form(("picture", GOOD), ("age", b"42"), ("note", "näher".encode()))
    for boundary in ("x", '"x"'):
        rows = reading.read_form(body, f"multipart/form-data; boundary={boundary}", BOTH)
        assert rows.record(0) == {"picture": GOOD, "age": 42.0, "note": "näher"}


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r", b"\r\n--y\r\n", b"\x00\xff\r\n\r\n", GOOD])
def test_the_bytes_of_a_file_are_kept_as_they_are(data: bytes) -> None:
    rows = reading.read_form(form(("picture", data), ("age", b"1")), "multipart/form-data; boundary=x", BOTH)
    assert rows["picture"][0] == data


@pytest.mark.parametrize(
    ("fields", "field"),
    [([("age", b"old")], "age"), ([("note", b"\xff\xfe")], "note"), ([("pictures", b"x")], "pictures")],
)
def test_fields_of_a_form_are_checked_as_those_of_a_row(fields: list[tuple[str, bytes]], field: str) -> None:
    with pytest.raises(Refused) as caught:
        reading.read_form(form(*fields), "multipart/form-data; boundary=x", BOTH)
    assert caught.value.status == 422 and caught.value.faults[0][1] == field


def test_a_form_of_a_hundred_thousand_fields_costs_no_more_than_one_of_twenty() -> None:
    body = form(*[("stranger", b"")] * 100_000)
    with pytest.raises(Refused, match="unknown field"):
        reading.read_form(body, "multipart/form-data; boundary=x", BOTH)


# -- series ----------------------------------------------------------------------------------------------------------------


def read(row: dict[str, Any]) -> Any:
    return reading.read_rows(json.dumps({"rows": [row]}).encode(), WAVES, Limits())


def test_a_photograph_of_twelve_megapixels_is_answered(pictures: Running) -> None:
    """Five million bytes, sent as they are and in base64."""
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (1500, 2000)).astype(np.uint8)
    memory = io.BytesIO()
    Image.fromarray(noise).resize((4000, 3000)).save(memory, format="JPEG", quality=93)
    data = memory.getvalue()
    assert 5e6 < len(data) < 9e6
    whole = post(pictures, content=data, headers={"content-type": "image/jpeg"})
    field = post(pictures, json={"picture": coded(data)})
    assert (whole.status_code, field.status_code) == (200, 200)
    assert whole.json()["answers"] == field.json()["answers"]


def test_a_series_called_rows_is_a_field_and_no_envelope() -> None:
    columns = (Column(name="rows", type="sequence", channels=2), Column(name="place", type="category"))

    def read_as(body: Any) -> Rows:
        return reading.read_rows(json.dumps(body).encode(), columns, Limits())

    series = [[1.0, 2.0], [3.0, None]]
    for body in ({"rows": series}, {"row": {"rows": series}}, {"rows": [{"rows": series}]}):
        assert read_as(body).record(0)["rows"] == series
    assert read_as({"rows": series, "place": "left"}).record(0) == {"rows": series, "place": "left"}
    assert len(read_as({"rows": [{"rows": series}, {"place": "left"}]})) == 2
    with pytest.raises(Refused) as caught:
        read_as({"rows": []})
    assert caught.value.status == 422


def test_series_are_lists_of_steps() -> None:
    rows = read({"wave": [[1, 2.5], [None, -3]], "place": "left"})
    assert rows["wave"][0].dtype == np.float32
    assert rows.record(0) == {"wave": [[1.0, 2.5], [None, -3.0]], "place": "left"}
    assert read({"wave": "[[1, 2]]"}).record(0)["wave"] == [[1.0, 2.0]]
    assert read({"wave": None, "place": "left"}).record(0)["wave"] is None


@pytest.mark.parametrize(
    "wave",
    [[], 3, "nonsense", {"a": 1}, [1, 2], [[1, 2, 3]], [[1, 2], [3]], [["1", "2"]], [[True, False]], [[[1], [2]]], [[1e39, 0]], [[]], "[" * 5000],
    ids=lambda wave: str(wave)[:20],
)  # fmt: skip
def test_what_is_no_series_is_refused_by_name(wave: Any) -> None:
    with pytest.raises(Refused) as caught:
        read({"wave": wave, "place": "left"})
    assert caught.value.status == 422 and caught.value.faults[0][:2] == (0, "wave")
    assert "must be a list of lists of 2 numbers" in caught.value.message


@pytest.mark.parametrize("column", [WAVES[0], Column(name="wave", type="sequence"), COLUMNS[0]])
def test_the_example_is_answerable(column: Column) -> None:
    example = example_row([column])
    assert len(from_records([example], [column])) == 1 and example[column.name]


def test_a_service_of_series_is_described() -> None:
    from modelyard.tasks._contract import State

    state = State(
        task="sequence-classification", target="t", inputs=WAVES, classes=("a", "b"), counts=(1, 1), positive="a"
    )
    found = describe(name="demo", version="1", description="", state=state, limits=Limits())
    field = found["components"]["schemas"]["Row"]["properties"]["wave"]
    assert field["type"] == ["array", "string", "null"] and len(field["examples"][0][0]) == 2


# -- files of rows ---------------------------------------------------------------------------------------------------------


def rows_file(folder: Path, shape: str, files: list[bytes]) -> Path:
    """Images as a file of rows: paths beside it, base64, or bytes."""
    place = folder / f"rows.{shape}"
    if shape == "parquet":
        pl.DataFrame({"picture": files}).write_parquet(place)
    elif shape == "jsonl":
        place.write_text("\n".join(json.dumps({"picture": coded(data)}) for data in files))
    else:
        for number, data in enumerate(files):
            (folder / f"{number}.png").write_bytes(data)
        place.write_text("picture\n" + "\n".join(f"{number}.png" for number in range(len(files))) + "\n")
    return place


@pytest.mark.parametrize("shape", ["csv", "jsonl", "parquet"])
def test_files_of_images_are_answered(shape: str, folder: Path, tmp_path: Path) -> None:
    files = [data for _, data in stripes(7, seed=4)]
    wanted = Predictor.open(folder).answer(from_records([{"picture": data} for data in files], COLUMNS))
    assert predict_file(folder, rows_file(tmp_path, shape, files), tmp_path / "out.parquet") == 7
    assert pl.read_parquet(tmp_path / "out.parquet")["answer"].to_list() == [answer["answer"] for answer in wanted]


@pytest.mark.parametrize("shape", ["csv", "jsonl", "parquet"])
def test_a_broken_image_of_a_file_is_named_by_its_row(shape: str, folder: Path, tmp_path: Path) -> None:
    files = [*(data for _, data in stripes(3)), b"no image"]
    with pytest.raises(DataError, match=r"rows\.\w+: row 4: picture: is no image of a known format"):
        predict_file(folder, rows_file(tmp_path, shape, files), tmp_path / "out.csv")


def test_a_row_far_down_a_request_keeps_its_number(folder: Path) -> None:
    from modelyard.errors import RequestError

    files = [GOOD] * 300
    files[290] = b"no image"
    with pytest.raises(RequestError) as caught:
        Predictor.open(folder).answer(from_records([{"picture": data} for data in files], COLUMNS))
    assert [fault[:2] for fault in caught.value.faults] == [(290, "picture")]
