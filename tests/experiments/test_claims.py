"""The claims of the study: over prompts that chose nothing, in a family of their own."""

import numpy as np
import pandas as pd
import pytest

from effect_estimates import estimate
from emotion_circuits.errors import InputError
from emotion_circuits.experiments.choice import choose_conditions
from emotion_circuits.experiments.claims import claims_of
from emotion_circuits.experiments.contract import read_residual_sweep
from phase_results import EMOTIONS, prompts, random_sweep, residual_sweep

TARGETS = {emotion: f"goemotions/{emotion}" for emotion in EMOTIONS}


def halved(sweep):
    texts = sweep["prompts"]
    sweep["halves"] = {"select": texts[0::2], "confirm": texts[1::2]}
    return sweep


def selection_of(sweep):
    """What phase 5 chooses, in the columns of its table that claims need."""
    outcomes = read_residual_sweep(sweep)
    chosen = choose_conditions(with_fluency(outcomes), TARGETS, max_fluency_loss=1.0)
    return pd.DataFrame(
        [
            {
                "emotion": emotion,
                "layer": choice.layer,
                "alpha": choice.alpha,
                "metric_name": f"goemotions.{emotion}",
            }
            for emotion, choice in chosen.items()
        ]
    )


def with_fluency(outcomes):
    return type(outcomes)(outcomes.table.assign(fluency=1.0))


def test_claims_are_one_per_emotion_over_the_other_half():
    sweep = halved(residual_sweep("m"))
    results = {"residual_sweep m": sweep, "residual_selection m": selection_of(sweep)}
    table = estimate(**results)
    claims = table[table["confirmatory"]]
    assert claims["emotion"].tolist() == list(EMOTIONS)
    assert (claims["metric_name"] == "goemotions." + claims["emotion"]).all()
    assert (claims[["layer", "alpha"]] == [2, 4.0]).all(axis=None)
    assert (claims["n_effective"] == 30).all()
    assert set(claims["family"]) == {"p/residual/m/patched_vs_neutral/confirmatory"}
    assert (claims["family_size"] == 3).all()
    assert claims["significant_bonferroni"].all()
    texts = prompts(60)[1::2]
    own = [
        sweep["sweep_results"]["anger"][2][4.0]["metrics"][text]["goemotions"]["anger"]
        - sweep["baseline"]["metrics"][text]["goemotions"]["anger"]
        for text in texts
    ]
    of_anger = claims[claims["emotion"] == "anger"].iloc[0]
    assert of_anger["mean_diff"] == pytest.approx(np.mean(own), rel=1e-10)
    rest = table[~table["confirmatory"]]
    assert set(rest["family"]) == {"p/residual/m/patched_vs_neutral/exploratory"}
    # The exploratory lines are those of a study without claims.
    pd.testing.assert_frame_equal(
        rest.reset_index(drop=True), estimate(**{"residual_sweep m": sweep}), check_dtype=False
    )


@pytest.mark.parametrize("settings", [{}, {"metadata": {"random_layers": "selected"}}])
def test_claims_against_random_directions_are_over_the_other_half_too(settings):
    sweep = halved(residual_sweep("m"))
    table = estimate(
        **{
            "residual_sweep m": sweep,
            "residual_selection m": selection_of(sweep),
            "random_sweep m": random_sweep("m") | settings,
        }
    )
    random = table[table["phase"] == "random"]
    claims = random[random["confirmatory"]]
    assert claims["emotion"].tolist() == list(EMOTIONS)
    assert (claims["n_effective"] == 30).all()
    assert (claims["family_size"] == 3).all()
    assert random[["p_value_sign_flip", "p_value_max_t"]].isna().all(axis=None)
    assert (random["test"].isin(["random_directions_t", ""])).all()
    exploratory = random[~random["confirmatory"]]
    expected = 30 if settings else 60
    assert set(exploratory["n_effective"]) == {expected}


def test_the_headline_of_several_choices_is_claimed():
    lines = {"emotion": ["anger"] * 2, "layer": [2, 4], "alpha": [4.0, 6.0]}
    table = pd.DataFrame(
        {**lines, "metric_name": ["a.b"] * 2, "choice": ["headline", "last_layers"]}
    )
    assert claims_of(table) == {"anger": (2, 4.0, "a.b")}
    assert claims_of(None) == {}


def test_without_choices_or_halves_nothing_is_claimed(caplog):
    sweep = residual_sweep("m")
    with caplog.at_level("INFO"):
        assert not estimate(**{"residual_sweep m": sweep, "residual_selection m": None})[
            "confirmatory"
        ].any()
    assert "without confirmatory claims: there is no m.residual_selection" in caplog.text
    selection = selection_of(halved(residual_sweep("m")))
    results = {"residual_sweep m": sweep, "residual_selection m": selection}
    assert not estimate(**results)["confirmatory"].any()


def test_choices_of_another_sweep_are_refused_in_one_line():
    sweep = halved(residual_sweep("m"))
    selection = selection_of(sweep).assign(layer=7)
    with pytest.raises(
        InputError, match="anger at layer 7 and α 4, where the sweep has no"
    ) as seen:
        estimate(**{"residual_sweep m": sweep, "residual_selection m": selection})
    assert "\n" not in str(seen.value)


def null_study(seed, n=24):
    """No condition has an effect; the best of each emotion is claimed."""
    rng = np.random.default_rng(seed)
    sweep = halved(residual_sweep("m", n=n, seed=seed))
    for emotion, layers in sweep["sweep_results"].items():
        for alphas in layers.values():
            for alpha, cell in alphas.items():
                if alpha:
                    for text, scores in cell["metrics"].items():
                        before = sweep["baseline"]["metrics"][text]["goemotions"][emotion]
                        scores["goemotions"][emotion] = before + float(rng.normal(0, 0.08))
            del alphas[0.0]
    table = estimate(**{"residual_sweep m": sweep, "residual_selection m": selection_of(sweep)})
    claims = table[table["confirmatory"]]
    keys = ["emotion", "layer", "alpha", "metric_name"]
    same = claims[keys].merge(table[~table["confirmatory"]], on=keys)
    return claims["p_value_bonferroni"].min(), 3 * same["p_value"].min()


@pytest.mark.slow
def test_no_claim_of_nothing_is_made_more_often_than_alpha():
    """The same lines over all prompts, half of which chose them, are found too often."""
    seen = np.array([null_study(seed) for seed in range(400)])
    assert (seen[:, 0] <= 0.05).mean() <= 0.07
    assert (seen[:, 1] <= 0.05).mean() > (seen[:, 0] <= 0.05).mean() + 0.02
