"""Texts of one template are one sample, wherever the texts come from."""

import pandas as pd
import pytest
from scipy import stats

from effect_estimates import QUICK, estimate
from emotion_circuits.errors import InputError
from emotion_circuits.pipelines.statistics.nodes import analyze_power
from emotion_circuits.pipelines.statistics.settings import StatisticsSettings
from emotion_circuits.prompts import PromptSource, SourceRecord
from phase_results import head_ablation, prompts


def test_templates_can_be_clusters():
    texts = prompts(12)
    table = pd.DataFrame({"text": texts, "template_id": [str(place // 3) for place in range(12)]})
    settings = StatisticsSettings(**QUICK, cluster_by="template")
    seen = estimate(settings, table, **{"head_ablation m": head_ablation("m", n=12)})
    assert (seen["n_clusters"] == 4).all()


def fresh_source(texts, **fields):
    rows = [
        {"text": text, "emotion": "neutral"}
        | {name: column[place] for name, column in fields.items()}
        for place, text in enumerate(texts)
    ]
    records = tuple(SourceRecord(place, row) for place, row in enumerate(rows, start=1))
    return PromptSource("fresh.jsonl", records)


def test_fresh_prompts_have_templates_too():
    known, texts = prompts(12), [f"Mira saw boat {place}." for place in range(12)]
    table = pd.DataFrame({"text": known, "template_id": ["a"] * 12})
    fresh = fresh_source(texts, template_id=[str(place // 4) for place in range(12)])
    result = head_ablation("m", n=12) | {"prompts": texts}
    settings = StatisticsSettings(**QUICK, cluster_by="template")
    seen = estimate(settings, table, fresh, **{"head_ablation m": result})
    assert (seen["n_clusters"] == 3).all()
    assert (seen["p_value"].dropna() < 1).any()


def test_a_text_without_a_template_is_no_cluster_of_its_own(caplog):
    texts = [f"Mira saw boat {place}." for place in range(12)]
    table = pd.DataFrame({"text": prompts(12), "template_id": ["a"] * 12})
    result = head_ablation("m", n=12) | {"prompts": texts}
    settings = StatisticsSettings(**QUICK, cluster_by="template")
    line = "12 of 12 have no cluster, the first 'Mira saw boat 0.'"
    with caplog.at_level("INFO"), pytest.raises(InputError, match=line) as caught:
        estimate(settings, table, fresh_source(texts), **{"head_ablation m": result})
    assert "\n" not in str(caught.value)
    assert "fresh.jsonl (fresh_prompts of the profile) has no template_id" in caplog.text


def test_clusters_lower_power_and_raise_what_is_required():
    """Four texts of a template do as one: the variance of the mean is that of a quarter."""
    result = head_ablation("m", n=40)
    for name in ("baseline_metrics", "patched_metrics"):
        result[name] = [result[name][4 * (place // 4)] for place in range(40)]
    table = pd.DataFrame(
        {"text": prompts(40), "template_id": [str(place // 4) for place in range(40)]}
    )
    effects, requirements = [], []
    for cluster_by in ("none", "template"):
        settings = StatisticsSettings(**QUICK, cluster_by=cluster_by)
        found = estimate(settings, table, **{"head_ablation m": result})
        power, report = analyze_power(found, "p", settings)
        effects.append(power.set_index("metric_name").loc["goemotions.anger"])
        requirements.append(
            next(
                row
                for row in report["requirements"]
                if row["metric_name"] == "goemotions.anger" and row["target_effect_size"] == 0.5
            )
        )
    plain, clustered = effects
    t, bound = abs(clustered["t_statistic"]), stats.t.isf(0.025, 9)
    wanted = stats.nct.sf(bound, 9, t) + stats.nct.cdf(-bound, 9, t)
    assert clustered["power"] == pytest.approx(wanted, rel=1e-8)
    assert clustered["power"] < plain["power"]
    assert clustered["minimal_detectable_effect"] > 1.9 * plain["minimal_detectable_effect"]
    # (n - 1) / n of 40 texts and of 10 templates: 39 / 40 * 10 / 9 * 4.
    assert requirements[0]["design_effect"] == 1
    assert requirements[1]["design_effect"] == pytest.approx(4 * (39 / 40) * (10 / 9), rel=1e-9)
    assert requirements[0]["required_n_effective"] == 34
    assert requirements[1]["required_n_effective"] == 148
