"""How else rows could be split, and which names are identifiers'."""

from __future__ import annotations

import pytest

from modelyard.prepare.inference import named_like_id
from modelyard.prepare.suggesting import split_of


@pytest.mark.parametrize(
    "name", ["id", "ID", "customer_id", "customerId", "orderID", "user id", "row_number", "uuid", "IDcard"]
)
def test_names_of_identifiers(name: str) -> None:
    assert named_like_id(name)


@pytest.mark.parametrize(
    "name", ["paid", "bid", "grid", "valid", "covid", "amount_paid", "PAID", "width", "kid", "idea"]
)
def test_words_that_only_end_like_one(name: str) -> None:
    assert not named_like_id(name)


@pytest.mark.parametrize(
    ("name", "kind", "counts", "by"),
    [
        ("sent", "date", (300, 0), "time"),
        ("sent", "date", (300, 500), None),  # mostly missing
        ("sent", "date", (5, 0), None),
        ("customer_id", "category", (200, 0), "group"),
        ("customer_id", "category", (990, 0), None),  # hardly repeats
        ("colour", "category", (200, 0), None),
    ],
)
def test_what_could_split(name: str, kind: str, counts: tuple[int, int], by: str | None) -> None:
    assert split_of(name, kind, distinct=counts[0], missing=counts[1], rows=1000) == by
