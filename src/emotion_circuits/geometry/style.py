"""Style along a direction: how well it tells grammatical forms apart."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from emotion_circuits.statistics.auroc import auroc

# Fewer texts with or without a form say nothing about it.
MIN_TEXTS: Final = 10


class StyleReading(NamedTuple):
    """The form that a direction tells best.

    Attributes:
        form: Its name; empty if no form divides the texts.
        auroc: At least 0.5, since either side of the direction may have the form.
    """

    form: str
    auroc: float


def read_style(
    projections: Float[np.ndarray, " text"], labels: np.ndarray, counts: pd.DataFrame
) -> StyleReading:
    """Find the grammatical form that projections onto a direction tell best.

    Each label's mean projection is removed first, so that a form that one label has more often is
    not told by the label. A text has a form if it has it more often than the median text,
    or as often where none has it more often.

    Args:
        projections: Component of each text's vector along the direction.
        labels: Label of each text.
        counts: How often each text has each form: one line per text, one column per form.

    Returns:
        The best form. With many forms, the best of them exceeds 0.5 by chance; compare it with
        that of random directions.
    """
    means = pd.Series(projections).groupby(np.asarray(labels)).transform("mean").to_numpy()
    within = projections - means
    best = StyleReading("", float("nan"))
    for form in counts:
        middle = counts[form].median()
        has = (counts[form] > middle).to_numpy(dtype=bool)
        if not has.any():  # most texts have the form, and none has it more often
            has = (counts[form] >= middle).to_numpy(dtype=bool)
        if min(has.sum(), (~has).sum()) < MIN_TEXTS:
            continue
        value = auroc(within, has)
        value = max(value, 1 - value)
        if not value <= best.auroc:
            best = StyleReading(str(form), value)
    return best
