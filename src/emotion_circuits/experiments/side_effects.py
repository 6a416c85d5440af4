"""What steering does to texts that it is not meant for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from emotion_circuits.interventions import Condition, Row, divergence
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.statistics.ratios import mean_interval

# Tokens that are read before predictions are compared: BOS and the text's first two.
_N_READ = 3
MEASURES = ("kl", "nll_change")
COLUMNS = (
    *("kind", "emotion", "layer", "draw", "alpha", "n"),
    *(f"{name}{end}" for name in MEASURES for end in ("", "_lower", "_upper")),
)


def side_effect_table(
    model: LanguageModel,
    texts: Sequence[str],
    clusters: Sequence[str],
    conditions: Iterable[tuple[Condition, Mapping[str, Any]]],
    *,
    n_bootstrap: int,
    seed: int,
) -> pd.DataFrame:
    """Compare a model's predictions in plain texts under each condition with its usual ones.

    The condition acts at all positions from the third token on, as it does on continuations.

    Args:
        model: The model.
        texts: Plain texts, which the model reads and does not continue. Those of fewer than two
            compared tokens are left out.
        clusters: Cluster of each text; clusters are resampled whole.
        conditions: Conditions with their coordinates, such as ``kind``, ``emotion`` and ``layer``.
        n_bootstrap: Number of resamples.
        seed: Seed of the resamples.

    Returns:
        One line per condition: ``kind``, ``emotion``, ``layer``, ``draw``, ``alpha``; ``n`` texts;
        ``kl`` with ``kl_lower`` and ``kl_upper``: nats per token, KL(unpatched ‖ patched);
        ``nll_change`` with its interval: nats per token by which the texts become less likely.
    """
    encoded = [tuple(model.encode_text(text)) for text in texts]
    kept = [index for index, ids in enumerate(encoded) if len(ids) >= _N_READ + 2]
    units = [clusters[index] for index in kept]
    lines = []
    for condition, where in conditions:
        rows = [Row(encoded[index][:_N_READ], condition) for index in kept]
        found = divergence(model, rows, [encoded[index][_N_READ:] for index in kept])
        line = {**where, "n": len(kept)}
        for name, values in found._asdict().items():
            mean, lower, upper = mean_interval(
                values, n_bootstrap=n_bootstrap, seed=seed, clusters=units
            )
            ends = {f"{name}_lower": float(lower), f"{name}_upper": float(upper)}
            line |= {name: float(mean), **ends}
        lines.append(line)
    return pd.DataFrame(lines, columns=list(COLUMNS))
