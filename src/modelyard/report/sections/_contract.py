"""What a section of the report is: a part that turns the build's records into HTML."""

from __future__ import annotations

from abc import abstractmethod

from markupsafe import Markup

from modelyard.frozen import Frozen
from modelyard.report.world import World


class Section(Frozen):
    """A section. Subclasses are final and named `Part`; the file name is the stage whose record it tells of."""

    @abstractmethod
    def render(self, world: World) -> Markup:
        """The section's body; it is asked only where the stage's record is there (verdict and appendix: always)."""

    def brief(self, world: World) -> Markup | None:
        """The section in the print view; None: it has none."""
        return None
