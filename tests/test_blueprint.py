"""Reading a blueprint: every fault at once with its line, what is derived written with its reason, and YAML 1.2."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from modelyard.blueprint import Blueprint
from modelyard.blueprint.reading import dump, json_schema
from modelyard.errors import BlueprintError
from modelyard.units import Quantity

SMALL = "name: demo\ndata:\n  source: rows.csv\n  target: label\n"


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
