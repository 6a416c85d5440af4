"""What words and grammatical forms tell about the labels of a dataset."""

import logging
import math
from typing import Any

import pandas as pd

from emotion_circuits.pipelines.dataset.settings import MaxAuroc, WordProbeSettings
from emotion_circuits.prompts import EmotionSet
from emotion_circuits.prompts.forms import count_forms, form_rates
from emotion_circuits.prompts.implicit import implicit_texts
from emotion_circuits.prompts.word_probes import WordProbe, probe_words
from emotion_circuits.statistics.held_out_auroc import held_out_auroc

logger = logging.getLogger(__name__)


def rate_forms(prompts: pd.DataFrame, emotions: EmotionSet) -> dict[str, Any]:
    """Average grammatical forms per label, over implicit texts and over all.

    Returns:
        By subset, form and label: mean number per text, None for a label without texts.
    """
    counts = count_forms(prompts["text"])
    implicit = implicit_texts(prompts, emotions)
    return {
        name: {
            str(form): {label: _rounded(mean) for label, mean in by_label.items()}
            for form, by_label in form_rates(chosen, prompts["emotion"], emotions).iterrows()
        }
        for name, chosen in (("implicit", counts[implicit]), ("all", counts))
    }


def rate_word_probes(
    prompts: pd.DataFrame, emotions: EmotionSet, settings: WordProbeSettings, seed: int
) -> list[dict[str, Any]]:
    """Estimate how well words without their order tell each two labels apart.

    Returns:
        One record per subset, view and contrast: ``subset``, ``view``, ``contrast``, ``n_texts``,
        ``n_templates``, ``auroc``, ``ci_lower``, ``ci_upper`` (95 %), ``limit`` (None if there is
        none), ``limit_parameter``, ``over_limit``, ``reason`` (why a number is missing).
    """
    probes = probe_words(
        prompts,
        emotions,
        n_shuffles=settings.n_shuffles,
        min_templates=settings.min_templates,
        max_texts=settings.max_texts,
        seed=seed,
    )
    return [_record(probe, emotions, settings.max_auroc) for probe in probes]


def _record(probe: WordProbe, emotions: EmotionSet, max_auroc: MaxAuroc) -> dict[str, Any]:
    numbers, reason = (math.nan,) * 3, probe.reason
    if probe.scores is not None and probe.folds is not None:
        numbers = held_out_auroc(
            probe.scores, probe.positive, folds=probe.folds, groups=probe.templates
        )
        reason = "no fold has texts of both labels" if math.isnan(numbers[0]) else ""
    auroc, lower, upper = map(_rounded, numbers)
    parameter = _limit_of(probe, emotions)
    limit = getattr(max_auroc, parameter, None)
    return {
        "subset": probe.subset,
        "view": probe.view,
        "contrast": "_vs_".join(probe.contrast),
        "n_texts": len(probe.positive),
        "n_templates": len(set(probe.templates)),
        "auroc": auroc,
        "ci_lower": lower,
        "ci_upper": upper,
        "limit": limit,
        "limit_parameter": parameter if limit is not None else "",
        "over_limit": limit is not None and auroc is not None and auroc > limit,
        "reason": reason,
    }


def _limit_of(probe: WordProbe, emotions: EmotionSet) -> str:
    """Return the name of the limit for a probe; empty if there is none."""
    kind = "vs_neutral" if emotions.neutral in probe.contrast else "between_emotions"
    name = f"{probe.view}_{kind}"
    return name if probe.subset == "implicit" and name in MaxAuroc.model_fields else ""


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 4)


def log_word_probes(records: list[dict[str, Any]]) -> None:
    """Log one table of the probes, and one warning for each limit that is exceeded."""
    run = [record for record in records if record["auroc"] is not None]
    if not run:
        logger.info("Word probes are not run: %s", records[0]["reason"])
        return
    table: dict[str, dict[str, str]] = {}
    for record in run:
        cell = "{auroc:.2f} [{ci_lower:.2f}, {ci_upper:.2f}]".format(**record)
        table.setdefault(f"{record['subset']}: {record['view']}", {})[record["contrast"]] = cell
    logger.info(
        "AUROC of word probes on texts of unseen templates (95 %% interval):\n%s",
        pd.DataFrame(table).fillna("").to_string(),
    )
    over = [record for record in run if record["over_limit"]]
    for parameter in dict.fromkeys(record["limit_parameter"] for record in over):
        records = [record for record in over if record["limit_parameter"] == parameter]
        contrasts = ", ".join("{contrast} {auroc:.2f}".format(**record) for record in records)
        logger.warning(
            "%s alone tells labels of implicit texts apart: AUROC %s; limit %.2f "
            "(dataset.word_probes.max_auroc.%s)",
            records[0]["view"],
            contrasts,
            records[0]["limit"],
            parameter,
        )
