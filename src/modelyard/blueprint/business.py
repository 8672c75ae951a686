"""The blueprint's `business` section: what the founders assume. Owned by the business stage."""

from __future__ import annotations

from modelyard.frozen import Frozen


class Business(Frozen):
    """Assumptions about prices, customers and costs."""
