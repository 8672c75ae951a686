"""The ground everything stands on: errors, parts, records and what a stage is given."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from pydantic import ValidationError

from modelyard import errors, parts
from modelyard.context import Silence, available_cores
from modelyard.errors import UnknownPart, nearest
from modelyard.records._base import Gate, Record, watch, without_times

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
