"""What `evaluate` learnt on the test rows, which are read once for each final artifact."""

from __future__ import annotations

from modelyard.frozen import Frozen
from modelyard.records._base import Estimate, Record


class Compared(Frozen):
    """A candidate beside the chosen artifact, on the same rows."""

    metrics: dict[str, Estimate]
    difference: Estimate | None = None
    """Chosen minus candidate on the choosing metric, paired (for errors, less than 0 means the chosen is better)."""
    better: bool = False
    """The whole interval of the difference says that the chosen artifact is better."""
    cost: Estimate | None = None
    """Declared cost of a row at the candidate's own threshold."""
    cost_at_half: Estimate | None = None
    """Declared cost of a row when the candidate answers the likeliest class (threshold 0.5)."""
    saved: Estimate | None = None
    """Cost of a row of the candidate at 0.5 minus the chosen artifact's at its threshold, paired."""


class Slice(Frozen):
    """One group of the test rows."""

    rows: int
    metrics: dict[str, Estimate]


class Confusion(Frozen):
    """Rows by true class (down) and answered class (across)."""

    true: tuple[str, ...]
    """Class names; a class never seen in training comes last as `(unknown)`."""
    answered: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class Mistake(Frozen):
    """One of the worst errors."""

    row: int
    """Row number in the source."""
    true: str | float
    answer: str | float
    score: float
    """Probability given to the true class; for numbers, answer minus truth."""
    fields: dict[str, str | float | None]
    """Inputs; texts are cut at 500 characters, images and series are left out."""
    image: str | None = None
    """A file of the build: the row's image, small."""
    looks: str | None = None
    """The same with what the answer rests on in orange."""


class Money(Frozen):
    """Declared cost of a row, in the unit of `evaluate.costs`, with the same resamples throughout."""

    chosen: Estimate
    """At the chosen threshold."""
    at_half: Estimate
    """At the threshold 0.5."""
    never: Estimate
    """When the positive class is never answered."""
    always: Estimate
    """When it is always answered."""
    saved: Estimate
    """`at_half` minus `chosen`, paired."""
    saved_against_never: Estimate
    """`never` minus `chosen`, paired."""


class Nearest(Frozen):
    """A text and the training text that it repeats most of."""

    share: float
    """Of its runs of four words, how many stand there."""
    answer: str
    training: str


class Written(Frozen):
    """Figures of texts that one artifact wrote."""

    figures: dict[str, Estimate]
    """`chrf` and `bleu` (0 to 100, where there are references), `copied` (share of words in runs of 8 that stand in the training
    texts), `near` (share of texts that nearly repeat one of them), `words` (of a text)."""
    differences: dict[str, Estimate] = {}
    """The chosen artifact's `chrf` and `bleu` minus this one's, paired; empty where there are no references, and of the chosen one."""
    distinct_2: float
    """Different pairs of words over all pairs."""
    repetition: float
    """Share of 4 words in a row that stood before in the same text."""
    longest_copy: int
    """Words of the longest run that stands in the training texts."""
    nearest: Nearest | None = None
    """The text that repeats most of one training text."""


class Text(Frozen):
    """One text that was written."""

    row: int
    """Row number in the source."""
    prompt: str
    wanted: str
    answer: str


class Writing(Frozen):
    """What language models wrote for some test rows."""

    rows: int
    answered: bool
    """Whether something stands before an answer, so that the row's own text is a reference."""
    chosen: Written
    candidates: dict[str, Written]
    wanted: Written
    """The same of the rows' own texts: what is natural."""
    texts: tuple[Text, ...]


class Drawn(Frozen):
    """Figures of images that one artifact made."""

    figures: dict[str, Estimate]
    """`kernel_ratio` (to the baseline's kernel distance), `copied` (share that is as near to a training image as 1 % of these are
    to each other); where there are classes also `sample_accuracy` (on real test rows, of a classifier that learnt from made
    images alone; Ravuri and Vinyals 2019), `agreement` (share in which a classifier of real images sees the class asked for),
    `least_share` (of the class that is made least often where none is asked for)."""
    variety: float | None = None
    """Spread within classes over that of real images: near 1, or 0 where each class is one image."""
    shares: dict[str, float] = {}
    """Class -> share of the images made where none was asked for, as a classifier of real images sees them."""
    troubles: tuple[str, ...] = ()
    """Signs of collapse and divergence."""
    sheet: str = ""
    """A file of the build: images made for test rows, a class a row."""


class Drawing(Frozen):
    """What models of images made."""

    rows: int
    """Test rows for which an image was made."""
    free: int
    """Images made without a class."""
    network: str
    """Whose features all figures are of (sha256 of its weights, and the side that it sees)."""
    baseline: str
    """The candidate that `kernel_ratio` is relative to."""
    classes: tuple[str, ...] = ()
    expected: dict[str, float] = {}
    """Class -> its share of the training rows."""
    chosen: Drawn
    candidates: dict[str, Drawn]
    real_accuracy: Estimate | None = None
    """What `sample_accuracy` is of as many real training images."""
    real_copied: Estimate | None = None
    """What `copied` is of real test images."""
    nearest: str = ""
    """A file of the build: made images above, and below each the training image nearest to it."""


class Measured(Frozen):
    """One artifact on the test rows, beside the trained one: what the engine asks for a compressed artifact."""

    metrics: dict[str, Estimate]
    difference: Estimate | None = None
    """This artifact minus the trained one on the choosing metric, paired."""
    agreement: Estimate | None = None
    """Share of rows on which both give the same answer, as the task defines parity."""


class Evaluated(Record):
    """The chosen artifact and every candidate on the test rows."""

    stage: str = "evaluate"
    task: str
    kind: str
    """`classification`, `regression`, `language` or `image`."""
    metric: str
    """The choosing metric."""
    greater_is_better: dict[str, bool]
    """For every metric named in this record."""
    rows: int
    grouped: bool = False
    """Whether whole groups of rows were resampled (cluster bootstrap)."""
    top_k: int | None = None
    """The k of `precision_at_k`, where it was measured."""
    top_k_by: str | None = None
    """The column whose values (cards, customers) are each checked once."""
    days: int | None = None
    """Days in the test rows, where the split is by time: `precision_at_k` looks at k rows of each."""
    classes: tuple[str, ...] = ()
    positive: str | None = None
    threshold: float | None = None
    metrics: dict[str, Estimate]
    """The chosen artifact."""
    at_half: dict[str, Estimate] = {}
    """The chosen artifact with the threshold 0.5 in place of its own; empty where it has none."""
    candidates: dict[str, Compared]
    slices: dict[str, dict[str, Slice]] = {}
    """Column -> value -> figures."""
    curves: dict[str, dict[str, list[float]]] = {}
    """Series by name. Two classes: `roc` (false_positive_rate, true_positive_rate, threshold), `precision_recall`
    (recall, precision, threshold), `calibration` (probability, frequency, low, high, rows), `threshold` (threshold,
    cost; with declared costs). More classes: `roc:<class>` and so on.
    Numbers: `predicted` (true, predicted), `residuals` (share, residual), `residual_histogram` (edge, rows)."""
    confusion: Confusion | None = None
    worst: tuple[Mistake, ...] = ()
    writing: Writing | None = None
    """What was written, where the task makes texts."""
    drawing: Drawing | None = None
    """What was made, where the task makes images."""
    money: Money | None = None
    unknown: dict[str, int] = {}
    """Test rows of classes never seen in training, by class; every answer to them is wrong."""
    scores: str = "evaluate/scores.npz"
    """`row`, `target`, `scores` (n, K) and `labels` of the chosen artifact, `candidate:<name>` (n, K), `group` where rows
    hang together; relative to the build."""
