"""The summary of head patching on planted shares, clusters, shifts and random sets."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from emotion_circuits.pipelines.head_patching.settings import HeadPatchingSettings
from emotion_circuits.pipelines.head_patching.summary import summarize

SETTINGS = HeadPatchingSettings(n_bootstrap=1000)


def planted(
    share,
    random_shares,
    n=80,
    *,
    other=(),
    ablation="",
    shift=0.0,
    fluency=0.0,
    reference=0.0,
    per_template=1,
):
    """Pairs of which the chosen set recovers one share, and each other set its own."""
    rng = np.random.default_rng(0)
    rows = []
    sets = [("chosen", share), *((f"random {i}", one) for i, one in enumerate(random_shares))]
    sets += [(f"other {i}", one) for i, one in enumerate(other)]
    effects = rng.normal(1, 0.2, n)
    for name, part in sets:
        for pair, effect in enumerate(effects):
            recovered = part * effect + rng.normal(0, 0.05)
            moved = shift if name == "chosen" else 0.0
            rows.append(
                {
                    "model_name": "m",
                    "what": "ablation" if ablation else "patching",
                    "emotion": "anger",
                    "direction": "" if ablation else "emotion_to_neutral",
                    "mode": "" if ablation else "pattern_v",
                    "ablation": ablation,
                    "head_set": name,
                    "heads": "0:0",
                    "pair_id": f"pair {pair}",
                    "cluster": f"template {pair // per_template}",
                    "emotion_value": effect,
                    "neutral_value": 0.0,
                    "recovered": recovered,
                    "neutral_shift": moved if ablation else np.nan,
                    "contrast_drop": recovered + moved if ablation else np.nan,
                    "fluency_loss": fluency if name == "chosen" else 0.0,
                    "neutral_fluency_loss": fluency / 2 if ablation and name == "chosen" else 0.0,
                    "fluency_loss_reference": reference,
                }
            )
    return pd.DataFrame(rows)


def test_the_summary_finds_a_planted_share_and_none_where_there_is_none():
    found = summarize(planted(0.5, (0.0, 0.0, 0.0)), SETTINGS)
    assert set(found["emotion"]) == {"anger", "pooled"}
    row = found.iloc[0]
    assert row["fraction"] == pytest.approx(0.5, abs=0.02)
    assert row["fraction_lower"] < 0.5 < row["fraction_upper"]
    assert row["fraction_upper"] - row["fraction_lower"] < 0.06
    assert row["random_fraction_lower"] < 0 < row["random_fraction_upper"]
    assert row["excess"] == pytest.approx(row["fraction"] - row["random_fraction"])
    assert np.isnan(row["contrast_lost"])
    assert np.isnan(row["contrast_p_rank"])
    nothing = summarize(planted(0.0, (0.0, 0.0, 0.0)), SETTINGS).iloc[0]
    assert nothing["excess_lower"] < 0 < nothing["excess_upper"]
    spread = summarize(planted(0.5, (0.2, -0.2)), SETTINGS).iloc[0]
    assert spread["random_smallest"] == pytest.approx(-0.2, abs=0.03)
    assert spread["random_largest"] == pytest.approx(0.2, abs=0.03)
    assert spread["n_random"] == 2


def test_a_set_no_better_than_random_ones_is_not_called_better():
    """Random sets recover 0, 0, 0, 0 and 0.9, the chosen one 0.4: luck of the draw decides."""
    row = summarize(planted(0.4, (0.0, 0.0, 0.0, 0.0, 0.9)), SETTINGS).iloc[0]
    assert row["excess"] == pytest.approx(0.22, abs=0.02)
    assert row["excess_lower"] < 0 < row["excess_upper"]
    assert row["random_fraction_upper"] - row["random_fraction_lower"] > 0.5
    assert row["p_rank"] == pytest.approx(2 / 6)
    best = summarize(planted(1.0, (0.0, 0.0, 0.0, 0.0, 0.9)), SETTINGS).iloc[0]
    assert best["p_rank"] == pytest.approx(1 / 6)


def test_pairs_that_share_their_neutral_prompt_are_resampled_together():
    """Each pair thrice, as three emotions that say the same: no more is known than from one."""
    once = planted(0.5, (0.0, 0.0, 0.0), n=30)
    thrice = pd.concat([once.assign(emotion=name) for name in ("gratitude", "anger", "apology")])
    single = summarize(once, SETTINGS).iloc[-1]
    pooled = summarize(thrice, SETTINGS).iloc[-1]
    assert (pooled["emotion"], pooled["n_pairs"], pooled["n_clusters"]) == ("pooled", 90, 30)
    for name in ("recovered", "fraction", "random_fraction", "excess"):
        for end in ("_lower", "_upper"):
            assert pooled[name + end] == pytest.approx(single[name + end])


def test_pairs_of_a_template_are_resampled_together():
    """Five pairs of a template share its effect, so there are 16 samples and not 80."""
    tidy = planted(0.5, (0.0, 0.0, 0.0), per_template=5)
    of_template = np.random.default_rng(1).normal(0, 0.3, 16)[np.tile(np.arange(80) // 5, 4)]
    tidy["recovered"] += of_template
    row = summarize(tidy, SETTINGS).iloc[0]
    chosen = tidy[tidy["head_set"] == "chosen"]
    assert (row["n_pairs"], row["n_clusters"]) == (80, 16)
    # All templates have five pairs, so the mean is that of the means over templates.
    means = chosen.groupby("cluster")["recovered"].mean()
    error = means.std(ddof=1) / 4
    width = row["recovered_upper"] - row["recovered_lower"]
    assert width == pytest.approx(2 * stats.t.ppf(0.975, 15) * error, rel=0.15)
    alone = summarize(tidy.assign(cluster=tidy["pair_id"]), SETTINGS).iloc[0]
    assert alone["recovered_upper"] - alone["recovered_lower"] < 0.6 * width


def test_damage_that_raises_the_metric_everywhere_is_seen_as_contrast_lost():
    found = summarize(
        planted(0.1, (0.0, 0.0, 0.0), ablation="mean", shift=0.5, fluency=1.4), SETTINGS
    ).iloc[0]
    assert found["fraction"] == pytest.approx(0.1, abs=0.02)
    assert found["neutral_shift"] == pytest.approx(0.5)
    assert found["random_neutral_shift"] == 0
    # 1 − ((1 − 0.1) − 0.5) / 1, about.
    assert found["contrast_lost"] == pytest.approx(0.6, abs=0.03)
    assert found["contrast_lost_lower"] < found["contrast_lost"] < found["contrast_lost_upper"]
    assert found["contrast_excess"] == pytest.approx(
        found["contrast_lost"] - found["random_contrast_lost"]
    )
    assert found["contrast_p_rank"] == pytest.approx(1 / 4)
    assert (found["fluency_loss"], found["random_fluency_loss"]) == (pytest.approx(1.4), 0)


def test_contrast_lost_is_one_minus_what_is_left():
    tidy = planted(0.3, (0.1, 0.2), ablation="zero", shift=0.2)
    row = summarize(tidy, SETTINGS).iloc[0]
    chosen = tidy[tidy["head_set"] == "chosen"]
    emotion = chosen["emotion_value"] - chosen["recovered"]
    neutral = chosen["neutral_value"] + chosen["neutral_shift"]
    before = (chosen["emotion_value"] - chosen["neutral_value"]).mean()
    assert row["contrast_lost"] == pytest.approx(1 - (emotion - neutral).mean() / before)


def test_the_cost_stands_beside_what_the_lost_emotion_alone_costs():
    row = summarize(
        planted(0.3, (0.1,), other=(0.0,), ablation="zero", fluency=1.4, reference=1.1), SETTINGS
    ).iloc[0]
    assert row["fluency_loss_reference"] == pytest.approx(1.1)
    assert row["fluency_loss_excess"] == pytest.approx(0.3)
    assert row["fluency_loss_excess_lower"] <= 0.3 + 1e-9
    assert row["neutral_fluency_loss"] == pytest.approx(0.7)
    for name in ("fluency_loss", "neutral_fluency_loss"):
        assert row[f"random_{name}"] == row[f"other_{name}"] == 0


def test_sets_of_other_heads_are_described_and_change_no_p():
    """With random sets at 0.6 and other heads at 0, the chosen set at 0.4 is not special."""
    without = summarize(planted(0.4, (0.6,) * 3), SETTINGS).iloc[0]
    row = summarize(planted(0.4, (0.6,) * 3, other=(0.0, 0.1)), SETTINGS).iloc[0]
    assert row["p_rank"] == without["p_rank"] == 1
    assert row["p_smallest"] == pytest.approx(1 / 4)
    assert row["random_fraction"] == pytest.approx(0.6, abs=0.03)
    assert row["n_other"] == 2
    assert row["other_fraction"] == pytest.approx(0.05, abs=0.03)
    assert row["other_largest"] == pytest.approx(0.1, abs=0.03)
    assert (without["n_other"], row["n_random"]) == (0, 3)
    assert np.isnan(without["other_fraction"])


def test_a_text_without_fluency_is_left_out_of_its_mean():
    tidy = planted(0.3, (), fluency=1.0)
    tidy.loc[0, "fluency_loss"] = np.nan
    row = summarize(tidy, SETTINGS).iloc[0]
    assert row["fluency_loss"] == pytest.approx(1.0)
    assert np.isnan(row["random_fluency_loss"])
    assert np.isnan(row["excess"])
    assert row["n_random"] == 0
    assert np.isnan(row["p_smallest"])
