"""The ground everything stands on: errors, units, parts, store, rows, and reading a blueprint."""

from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from modelyard import errors, parts, units
from modelyard.blueprint import Blueprint
from modelyard.blueprint.reading import dump, json_schema
from modelyard.context import Silence, available_cores
from modelyard.errors import BlueprintError, Busy, RequestError, UnitError, UnknownPart, UserError, nearest
from modelyard.frozen import Frozen
from modelyard.records._base import Gate, Record, watch, without_times
from modelyard.rows import Column, Rows, from_records
from modelyard.store import Store, fingerprint, hash_tree, read_json, replacing, replacing_folder, to_json, write_json
from modelyard.units import Bytes, Measure, Quantity, Seconds, quantity

SMALL = "name: demo\ndata:\n  source: rows.csv\n  target: label\n"

# -- errors -------------------------------------------------------------------------------------------------------------


def test_exit_codes_follow_the_tree() -> None:
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.ModelyardError):
            expected = 2 if issubclass(kind, errors.UserError) else 3 if issubclass(kind, errors.GateFailed) else 1
            assert kind.exit_code == expected, name
            assert name in (errors.__doc__ or ""), f"{name} is not drawn in the tree of errors.py"


def test_nearest_names() -> None:
    assert nearest("trian", ["train", "serve"]) == " Did you mean 'train'?"
    assert nearest("xyz", ["train", "serve"]) == ""
    assert nearest("x", []) == ""


def test_a_missing_extra_names_its_command() -> None:
    assert "pip install 'modelyard[text]'" in str(errors.MissingExtra("an encoder", "text"))


# -- units --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("6 min", 360, "s"), ("100 ms", 0.1, "s"), ("1.5 h", 5400, "s"), ("2 days", 172800, "s"), ("4 MiB", 4 * 2**20, "B"), ("4 MB", 4e6, "B"),
        ("1e-3 s", 0.001, "s"), (".5 s", 0.5, "s"), ("-2 s", -2, "s"), ("1,000,000 rows", 1e6, "row"), ("10_000 tokens", 1e4, "token"),
        ("3.6 USD/h", 0.001, "USD/s"), ("1 kWh", 3.6e6, "J"), ("2 years", 24, "month"), ("7", 7, ""), ("200 W", 200, "J/s"),
        ("0.02 USD/request", 0.02, "USD/request"), ("3 kW*h", 3 * 3.6e6, "J"),
    ],
)  # fmt: skip
def test_texts_become_canonical_quantities(text: str, value: float, unit: str) -> None:
    found = quantity(text)
    assert found.value == pytest.approx(value)
    assert found.unit == unit


@pytest.mark.parametrize("text", ["", "min", "six min", "1e999 s", "nan s", "--1 s", "1 2 3"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises((ValueError, UnitError)):
        quantity(text, "s")


def test_quantities_of_different_kinds_do_not_mix() -> None:
    cost, time = quantity("3 USD"), quantity("1 s")
    for mix in (
        lambda: cost + time,
        lambda: cost - time,
        lambda: cost < time,
        lambda: cost <= time,
        lambda: time.to("B"),
        lambda: quantity("5 B", "s"),
    ):
        with pytest.raises(UnitError):
            mix()
    with pytest.raises(TypeError):  # whoever catches TypeError catches it too
        cost + 1  # type: ignore[operator]
    assert not isinstance(cost == time, Quantity)
    assert cost != time


def test_a_cost_per_token_is_no_cost_per_request() -> None:
    hourly = quantity("3.6 USD/h")
    each = hourly / quantity("10 request/s")
    assert each == Quantity(0.0001, "USD/request")
    assert (each * quantity("1000 requests")).unit == "USD"
    assert (each * quantity("1000 tokens")).unit == "USD*token/request"
    with pytest.raises(UnitError):
        each + hourly / quantity("10 token/s")


UNITS = st.sampled_from(["s", "min", "B", "MiB", "USD", "request", "request/s", "USD/h", "J", "kWh", "USD/request", ""])
NUMBERS = st.floats(1e-6, 1e9)


@given(NUMBERS, UNITS, NUMBERS, UNITS)
def test_products_and_quotients_cancel(a: float, first: str, b: float, second: str) -> None:
    one, two = quantity(a, first), quantity(b, second)
    back = one * two / two
    assert back.unit == one.unit
    assert math.isclose(back.value, one.value, rel_tol=1e-9)
    assert (one * two).unit == (two * one).unit
    assert (one / one).unit == ""


@given(NUMBERS, UNITS)
def test_a_written_quantity_reads_back_exactly(value: float, unit: str) -> None:
    found = quantity(value, unit)
    assert quantity(f"{found.value!r} {found.unit}") == found


@given(NUMBERS, NUMBERS)
def test_sums_and_orders_are_those_of_the_numbers(a: float, b: float) -> None:
    one, two = Quantity(a, "s"), Quantity(b, "s")
    assert (one + two).value == a + b
    assert (one - two).value == a - b
    assert (one < two) == (a < b)
    assert (one <= two) == (a <= b)
    assert (-one).value == -a
    assert (2 * one).value == 2 * a


def test_fields_of_quantities_read_and_write() -> None:
    class Holder(Frozen):
        time: Seconds = Quantity(1.0, "s")
        size: Bytes = Quantity(1.0, "B")
        any: Measure = Quantity(1.0, "USD")

    held = Holder.model_validate({"time": "6 min", "size": 100, "any": "0.02 USD/request"})
    assert (held.time, held.size, held.any) == (
        Quantity(360.0, "s"),
        Quantity(100.0, "B"),
        Quantity(0.02, "USD/request"),
    )
    assert held.model_dump(mode="json") == {"time": "360.0 s", "size": "100.0 B", "any": "0.02 USD/request"}
    assert Holder.model_validate_json(held.model_dump_json()) == held
    for bad in (
        {"time": "6 MB"},
        {"time": -1},
        {"time": True},
        {"time": "soon"},
        {"time": None},
        {"time": {"value": 1}},
        {"time": [1]},
    ):
        with pytest.raises(ValidationError):
            Holder.model_validate(bad)


def test_every_scale_is_canonical_itself() -> None:
    for name, (base, factor) in units.SCALES.items():
        assert factor > 0, name
        assert units.canonical(base) == (base, 1.0), f"{name} leads to {base}, which is not canonical"


# -- parts --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shelf", parts.SHELVES)
def test_shelves_hold_parts_with_a_line_each(shelf: str) -> None:
    names = parts.names(shelf)
    assert names and names == sorted(names)
    for name in names:
        assert parts.summary(shelf, name), f"{shelf}/{name} has no docstring"
        assert parts.file_of(shelf, name).is_file()


def test_listing_imports_no_part() -> None:
    program = "from modelyard import parts; import sys; [parts.names(s) for s in parts.SHELVES]; print([m for m in sys.modules if m.startswith('modelyard.models')])"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
        == "[]"
    )


def test_an_unknown_part_names_the_nearest() -> None:
    with pytest.raises(UnknownPart, match=r"no model 'linea'\. Did you mean 'linear'\? Allowed: .*encoder"):
        parts.load("models", "linea")
    with pytest.raises(UnknownPart, match=r"no task 'text-clasification'\. Did you mean 'text-classification'\?"):
        parts.check("tasks", "text-clasification")


def test_a_part_takes_its_options() -> None:
    assert parts.build("models", "linear", {"word_ngrams": 3}).word_ngrams == 3
    with pytest.raises(ValidationError):
        parts.build("models", "linear", {"word_ngram": 3})


def test_source_hashes_follow_the_sources() -> None:
    assert parts.source_hash("units.py") == parts.source_hash("units.py")
    assert parts.source_hash("units.py") != parts.source_hash("errors.py")
    assert parts.source_hash("models") != parts.source_hash("models", "errors.py")


# -- store --------------------------------------------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    place = tmp_path / "record.json"
    write_json(place, {"a": 1})
    with pytest.raises(ZeroDivisionError), replacing(place) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert read_json(place) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    place = tmp_path / "model"
    with replacing_folder(place) as temporary:
        (temporary / "old").write_text("old")
    with pytest.raises(ZeroDivisionError), replacing_folder(place) as temporary:
        (temporary / "new").write_text("half")
        raise ZeroDivisionError
    assert list(hash_tree(place)) == ["old"]
    with replacing_folder(place) as temporary:
        (temporary / "new").write_text("new")
    assert list(hash_tree(place)) == ["new"]
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("writer", [replacing, replacing_folder])
def test_a_full_disk_is_a_users_error(tmp_path: Path, writer: Callable[..., Any]) -> None:
    with (
        pytest.raises(UserError, match=r"the disk is full: .*big could not be written\. Free some space"),
        writer(tmp_path / "big"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="Permission"), writer(tmp_path / "big"):
        raise OSError(errno.EACCES, "Permission denied")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_really_full_device_is_a_users_error(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="the disk is full"),
        replacing(tmp_path / "big"),
        open("/dev/full", "w", encoding="ascii") as device,
    ):
        device.write("x")


def test_readers_see_the_old_or_the_new_file_never_half(tmp_path: Path) -> None:
    """A process is killed in the middle of writing, twenty times."""
    place = tmp_path / "record.json"
    write_json(place, {"n": -1, "filler": "x" * 200_000})
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from modelyard.store import write_json
        print("ready", flush=True)
        for n in range(10_000):
            write_json(Path(sys.argv[1]), {"n": n, "filler": "x" * 200_000})
        """
    )
    for delay in range(5):
        process = subprocess.Popen([sys.executable, "-c", program, str(place)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        for _ in range(4 + delay):
            assert len(read_json(place)["filler"]) == 200_000
        process.kill()
        process.wait()
        process.stdout.close()
        assert len(read_json(place)["filler"]) == 200_000
    Store(tmp_path).sweep()
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]


def test_nan_never_reaches_a_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not (tmp_path / "x.json").exists()
    assert "é" in to_json({"a": "é"})


def test_fingerprints_ignore_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint([1, 2]) != fingerprint([2, 1])
    assert fingerprint({"a": 1}) != fingerprint({"a": "1"})


def test_a_decision_is_taken_once_and_replayed(tmp_path: Path) -> None:
    store, taken = Store(tmp_path), []

    def choose() -> dict[str, Any]:
        taken.append(1)
        return {"steps": len(taken), "pair": (1, 2)}

    first = store.decide("budget", choose)
    assert first == {"steps": 1, "pair": [1, 2]}  # what is replayed is JSON, so the first time is too
    assert Store(tmp_path).decide("budget", choose) == first
    assert len(taken) == 1
    assert store.decide("other", lambda: None) is None
    assert store.decided("budget") == first
    assert store.decided("never") is None
    assert list(read_json(tmp_path / "decisions.json")) == ["budget", "other"]


def test_a_decision_is_written_before_it_is_used(tmp_path: Path) -> None:
    Store(tmp_path).decide("precision", lambda: "bf16")
    assert read_json(tmp_path / "decisions.json") == {"precision": "bf16"}


def test_a_second_process_is_told_who_holds_the_build(tmp_path: Path) -> None:
    store = Store(tmp_path / "build")
    program = "import sys; from pathlib import Path; from modelyard.store import Store\nwith Store(Path(sys.argv[1])).lock(): pass"

    def other() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, str(store.folder)], capture_output=True, text=True, check=False
        )

    with store.lock():
        with (
            pytest.raises(Busy, match=f"in use by process {os.getpid()} on .* since .* name another folder with -o"),
            Store(store.folder).lock(),
        ):
            pass
        assert f"process {os.getpid()}" in other().stderr
    assert other().returncode == 0


def test_a_killed_process_frees_its_lock_and_leaves_no_halves(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from modelyard.store import Store, replacing
        store = Store(Path(sys.argv[1]))
        with store.lock(), replacing(store.path("train", "big")) as temporary:
            temporary.write_text("half")
            print("held", flush=True)
            time.sleep(60)
        """
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    assert len(list(tmp_path.rglob(".*.part"))) == 1
    process.kill()
    process.wait()
    process.stdout.close()
    with Store(tmp_path).lock():
        assert list(tmp_path.rglob(".*.part")) == []


def test_a_folder_that_cannot_be_made_is_a_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match=r"cannot be made.*Name another with -o"),
        Store(tmp_path / "file" / "build").lock(),
    ):
        pass


# -- rows ---------------------------------------------------------------------------------------------------------------

INPUTS = (
    Column(name="age", type="number"), Column(name="job", type="category"), Column(name="member", type="boolean"),
    Column(name="joined", type="date"), Column(name="note", type="text"),
)  # fmt: skip


def test_records_become_typed_columns() -> None:
    rows = from_records([{"age": "42", "job": 7, "member": "yes", "joined": "1970-01-02", "note": ""}, {}], INPUTS)
    assert rows["age"].dtype == float
    assert rows.record(0) == {"age": 42.0, "job": "7", "member": 1.0, "joined": 86400.0, "note": ""}
    assert rows.record(1) == dict.fromkeys(("age", "job", "member", "joined", "note"))
    assert len(rows.take([1])) == 1 and len(rows.take(slice(0, 0))) == 0


def test_every_fault_of_every_row_is_told() -> None:
    with pytest.raises(RequestError) as caught:
        from_records([{"age": "old", "jobb": "x"}, {"member": "perhaps", "joined": "soon", "note": {"a": 1}}], INPUTS)
    told = {(row, field) for row, field, _ in caught.value.faults}
    assert told == {(0, "age"), (0, "jobb"), (1, "member"), (1, "joined"), (1, "note")}
    assert "row 0: age: must be a number (got 'old')" in str(caught.value)


def test_no_more_faults_are_told_than_help() -> None:
    for records in ([{f"k{number}": 1 for number in range(1000)}], [{"age": "old", "joined": "soon"}] * 50):
        with pytest.raises(RequestError) as caught:
            from_records(records, INPUTS)
        assert len(caught.value.faults) == 20
    wide = [Column(name=f"column_{number}", type="number") for number in range(1000)]
    with pytest.raises(RequestError, match=r"Allowed: column_0, .* and 970 more$"):
        from_records([{"stranger": 1}], wide)


def test_blank_texts_are_missing_but_in_a_text() -> None:
    assert from_records([{"age": " ", "job": " ", "member": "", "joined": "\t", "note": " "}], INPUTS).record(0) == {
        **dict.fromkeys(("age", "job", "member", "joined")),
        "note": " ",
    }


def test_rows_are_replaced_by_column() -> None:
    rows = from_records([{"age": 1}, {"age": 2}], INPUTS)
    changed = rows.replace(age=rows["age"] * 10)
    assert isinstance(changed, Rows)
    assert changed["age"].tolist() == [10, 20] and rows["age"].tolist() == [1, 2]


# -- records and context ------------------------------------------------------------------------------------------------


def test_records_agree_without_their_clocks() -> None:
    class Learnt(Record):
        answer: int
        measured_latency: float = 0.0
        timings: dict[str, float] = {}

    with watch() as facts:
        pass
    gate = Gate(name="g", demanded="a", measured="b", passed=True)
    one = Learnt(
        stage="train", answer=1, measured_latency=1.0, timings={"a": 1.0}, run=facts["run"], key="k", gates=(gate,)
    )
    two = one.model_copy(update={"measured_latency": 2.0, "timings": {}, "run": None, "key": "other"})
    assert without_times(one) == without_times(two)
    assert without_times(one) != without_times(one.model_copy(update={"answer": 2}))
    assert facts["run"].peak_memory.to("MB") > 1
    with pytest.raises(ValidationError):
        one.answer = 2  # type: ignore[misc]


def test_cores_and_silent_progress() -> None:
    assert 1 <= available_cores() <= len(os.sched_getaffinity(0))
    with Silence().bar("work", 3) as advance:
        advance(1)


# -- blueprints ---------------------------------------------------------------------------------------------------------


def faults(text: str) -> list[str]:
    with pytest.raises(BlueprintError) as caught:
        Blueprint.parse(text)
    return list(caught.value.faults)


def test_the_smallest_blueprint_is_four_lines() -> None:
    found = Blueprint.parse(SMALL)
    assert found.name == "demo" and found.task is None and found.size == "small"
    assert found.train.budget == Quantity(360.0, "s")
    assert found.data.source == "rows.csv"


def test_every_fault_is_told_at_once_with_its_line() -> None:
    text = textwrap.dedent(
        """\
        name: Demo Service
        siez: small
        data:
          source: rows.csv
          target: label
          columns:
            age: nmber
        train:
          seed: -1
          budget: 6 MB
          candidates:
            linera: {}
            linear:
              word_ngram: 2
        prepare:
          split:
            by: time
            tset: 0.2
        evaluate:
          level: 2
        """
    )
    found = faults(text)
    expected = {
        1: ["name", "must match"], 2: ["siez", "unknown key. Did you mean 'size'?"],
        7: ["data.columns.age", "must be one of", "(got 'nmber'). Did you mean 'number'?"], 9: ["train.seed", "greater than or equal to 0", "(got -1)"],
        10: ["train.budget", "'6 MB'"], 12: ["no model 'linera'. Did you mean 'linear'?"],
        14: ["word_ngram", "unknown key. Did you mean 'word_ngrams'?"], 18: ["prepare.split.tset", "Did you mean 'test'?"], 20: ["evaluate.level", "less than 1", "(got 2"],
    }  # fmt: skip
    for line, words in expected.items():
        told = [fault for fault in found if fault.startswith(f"blueprint.yaml:{line}: ")]
        assert told, f"nothing was said of line {line}: {found}"
        assert all(word in told[0] for word in words), told[0]
    assert len(found) == len(expected), found


def test_rules_between_keys_name_the_keys() -> None:
    assert (
        "prepare.split.column: is required when prepare.split.by is 'time'"
        in faults(SMALL + "prepare: {split: {by: time}}")[0]
    )
    assert "must leave training rows" in faults(SMALL + "prepare: {split: {validation: 0.5, test: 0.5}}")[0]
    assert (
        "the target cannot be ignored"
        in faults(SMALL.replace("  target: label\n", "  target: label\n  columns: {label: ignore}\n"))[0]
    )
    assert "split column" in faults(SMALL + "prepare: {split: {by: column, column: label}}")[0]


def test_a_key_that_stands_twice_is_refused() -> None:
    assert "blueprint.yaml:5:" in faults(SMALL + "name: again\n")[0]
    assert "Keep one of the two" in faults(SMALL + "name: again\n")[0]


@pytest.mark.parametrize(("written", "read"), [("no", "no"), ("1e-3", "0.001")])
def test_yaml_is_1_2(written: str, read: str) -> None:
    """YAML 1.1 would read `no` as False and 1e-3 as a text."""
    if written == "no":
        assert Blueprint.parse(SMALL.replace("label", written)).data.target == read
    else:
        assert Blueprint.parse(SMALL + f"compress: {{max_drop: {written}}}").compress.max_drop == float(read)


def test_the_resolved_blueprint_reads_back_equal(tmp_path: Path) -> None:
    recipes = sorted((Path(__file__).parent.parent / "recipes").glob("*/blueprint*.yaml"))
    assert len(recipes) >= 4
    for file in recipes:
        first = Blueprint.load(file)
        again = Blueprint.parse(dump(first), folder=tmp_path)
        absolute = first.data.model_copy(update={"source": str(first.folder / str(first.data.source))})
        assert again.model_dump() == first.model_copy(update={"data": absolute}).model_dump(), file
        assert dump(again) == dump(first), file


@settings(max_examples=20, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "size": st.sampled_from(["tiny", "small", "base", "large"]),
            "train": st.fixed_dictionaries(
                {"seed": st.integers(0, 2**31 - 1), "budget": st.floats(0, 1e6)},
                optional={"folds": st.integers(1, 20), "metric": st.sampled_from(["f1", "roc_auc", "r2"])},
            ),
            "compress": st.fixed_dictionaries({"max_drop": st.floats(0, 0.99), "agreement": st.floats(0.01, 1)}),
            "serve": st.fixed_dictionaries(
                {"p95": st.floats(0, 10, exclude_min=True), "levels": st.lists(st.floats(0.1, 1e4), max_size=3)}
            ),
            "package": st.fixed_dictionaries({"description": st.text(max_size=60), "licence": st.text(max_size=20)}),
            "downloads": st.sampled_from(["never", "build", "always"]),
        },
    ),
    st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=12),
)
def test_any_blueprint_survives_being_written(sections: dict[str, Any], target: str) -> None:
    first = Blueprint.build(
        name="demo", data={"source": "/data/rows.csv", "target": target}, folder=Path("/"), **sections
    )
    assert Blueprint.parse(dump(first), folder=Path("/")) == first


def test_derived_values_are_written_with_their_reasons() -> None:
    blueprint = Blueprint.parse(SMALL, folder=Path("/venture"))
    text = dump(
        blueprint,
        {
            "task": ("text-classification", "the target has 2 classes"),
            "data.columns.age": ("number", "numbers, 50 distinct"),
        },
    )
    assert "task: text-classification  # the target has 2 classes" in text
    assert "age: number  # numbers, 50 distinct" in text
    again = Blueprint.parse(text)
    assert again.task == "text-classification" and again.data.columns == {"age": "number"}
    assert again.data.source == "/venture/rows.csv"


def test_loading_finds_the_file_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "blueprint.yaml").write_text(
        "\ufeff" + SMALL, encoding="utf-8"
    )  # with a byte order mark, as some editors write
    assert Blueprint.load(tmp_path).folder == tmp_path
    assert Blueprint.load(tmp_path / "blueprint.yaml") == Blueprint.load(tmp_path)


def test_building_from_python_is_checked_alike() -> None:
    assert Blueprint.build(
        name="demo", data={"source": "rows.csv", "target": "label"}, train={"budget": "6 min"}
    ) == Blueprint.parse(SMALL)
    with pytest.raises(BlueprintError, match="blueprint: siez: unknown key"):
        Blueprint.build(name="demo", data={"source": "rows.csv"}, siez="small")


def test_blueprints_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Blueprint.parse(SMALL).name = "other"  # type: ignore[misc]


def test_the_schema_knows_every_key() -> None:
    schema = json_schema()
    assert set(schema["properties"]) == set(Blueprint.model_fields)
    assert "text-classification" in json.dumps(schema["properties"]["task"])
    assert schema["additionalProperties"] is False
    assert all("description" in value for value in schema["$defs"]["Train"]["properties"].values())
