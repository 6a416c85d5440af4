"""Mapped vectors steer as the model's own do if the map is right, and as nothing if it is not."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from emotion_circuits.errors import InputError
from emotion_circuits.experiments.contract import read_residual_sweep
from emotion_circuits.experiments.directions import covariance_controls
from emotion_circuits.experiments.steering_settings import SteeringSettings
from emotion_circuits.geometry import pool_positions
from emotion_circuits.interventions import Checkpoint
from emotion_circuits.pipelines.residual_patching.nodes import sweep_emotions
from emotion_circuits.pipelines.transfer_steering.nodes import (
    _with_ranks,
    steer_with_mapped_vectors,
)
from study_emotions import FOUR

LAYERS = [1, 3]
SETTINGS = SteeringSettings(
    split="fresh",
    max_samples_per_emotion=12,
    layers=[3],
    alphas=[1.0, 2.0],
    sequence_length=10,
    num_random=3,
    num_covariance=4,
    max_fluency_loss=20.0,
    n_bootstrap=50,
)


@pytest.fixture(scope="module")
def residual_sweep(model, evaluator, vectors, subspaces, prompts, fresh, tmp_path_factory):
    checkpoint = Checkpoint(tmp_path_factory.mktemp("sweep") / "rows")
    return sweep_emotions(
        model, evaluator, vectors, subspaces, prompts, fresh, checkpoint, "p", FOUR, SETTINGS
    )


def mapped_by(vectors, change):
    """What phase 4 gives for a map that does `change` to the model's own vectors."""
    own = {emotion: vectors["emotion_vectors"][emotion][LAYERS] for emotion in FOUR.names}
    rng = np.random.default_rng(0)
    return {
        "emotion_vectors": {emotion: change(emotion, own) for emotion in FOUR.names},
        "random_vectors": {emotion: rng.normal(size=(5, *own[emotion].shape)) for emotion in own},
        "metadata": {
            "model_name": "tiny_gpt2",
            "source_model": "other",
            "layer_indices": LAYERS,
            "source_layer_indices": [0, 2],
        },
    }


@pytest.fixture(scope="module")
def steer(model, evaluator, vectors, subspaces, residual_sweep, activations):
    def run(change):
        mapped = mapped_by(vectors, change)
        return steer_with_mapped_vectors(
            model,
            evaluator,
            mapped,
            vectors,
            subspaces,
            residual_sweep,
            activations,
            FOUR,
            SETTINGS,
        )

    return run


@pytest.fixture(scope="module")
def perfect(steer):
    return steer(lambda emotion, own: 7.0 * own[emotion])


def choose(sweep):
    return SETTINGS.choose(read_residual_sweep(sweep), FOUR, 5)["headline"]


def effects(table, vector):
    rows = table[table["vector"] == vector].drop(columns=["vector", "number"])
    return rows.reset_index(drop=True)


def test_a_perfect_map_does_what_the_models_own_vector_does(perfect, residual_sweep):
    own, mapped = effects(perfect, "own"), effects(perfect, "mapped")
    np.testing.assert_allclose(mapped["cosine_own"], 1.0, rtol=1e-6)
    for column in ("mean_baseline", "mean_patched", "mean_diff"):
        np.testing.assert_allclose(own[column], mapped[column], atol=1e-6)
    choices = choose(residual_sweep)
    confirm = residual_sweep["halves"]["confirm"]
    for emotion, choice in choices.items():
        row = own[(own["emotion"] == emotion) & own["metric_name"].str.startswith("goemotions")]
        metric, label = FOUR.target_metrics[emotion].split("/")
        cell = residual_sweep["sweep_results"][emotion][choice.layer][choice.alpha]["metrics"]
        before = residual_sweep["baseline"]["metrics"]
        wanted = np.mean([cell[p][metric][label] - before[p][metric][label] for p in confirm])
        np.testing.assert_allclose(row["mean_diff"].item(), wanted, atol=1e-6)
        assert row["layer"].item() == choice.layer
        assert row["alpha"].item() == choice.alpha
        assert row["layer_a"].item() == 2
        assert row["n"].item() == len(confirm)
    assert own["mean_diff"].abs().max() > 0.2  # there is something to equal


def test_a_map_to_nothing_or_to_anothers_vector_is_told_apart(perfect, steer):
    nothing = steer(lambda emotion, own: 0 * own[emotion])
    assert (effects(nothing, "mapped")["mean_diff"] == 0).all()
    turned = steer(
        lambda emotion, own: own[FOUR.names[(FOUR.names.index(emotion) + 1) % len(FOUR.names)]]
    )
    own, other = effects(perfect, "own"), effects(turned, "mapped")
    assert (other["cosine_own"] < 0.99).all()
    assert (own["mean_diff"] - other["mean_diff"]).abs().max() > 0.1


def test_random_vectors_are_as_long_and_as_many_as_asked_for(perfect):
    random = perfect[perfect["vector"] == "mapped_random"]
    assert sorted(set(random["number"])) == [0, 1, 2]
    assert (random["cosine_own"].abs() < 0.5).all()
    assert set(perfect["vector"]) == {"own", "mapped", "mapped_random", "covariance"}
    assert (perfect["choice"] == "headline").all()  # no last layer was mapped
    shown = set(perfect["metric_name"])
    assert shown == {
        "goemotions.gratitude",
        "goemotions.anger",
        "goemotions.remorse",
        "fluency.nll",
    }


def test_a_sweep_at_layers_that_were_not_mapped_is_one_line(
    model, evaluator, vectors, subspaces, residual_sweep, activations
):
    mapped = mapped_by(vectors, lambda emotion, own: own[emotion])
    mapped["metadata"]["layer_indices"] = [0, 2]
    of_model = mapped, vectors, subspaces, residual_sweep, activations
    with pytest.raises(InputError, match=r"steered at layer 3 only, .* layers 0, 2"):
        steer_with_mapped_vectors(model, evaluator, *of_model, FOUR, SETTINGS)


def test_what_steers_as_own_is_what_was_chosen_with_a_subspace_too(
    model, evaluator, vectors, subspaces, activations, prompts, fresh, tmp_path
):
    settings = SETTINGS.model_copy(update={"operator": "subspace", "subspace_rank": 1})
    sweep = sweep_emotions(
        model,
        evaluator,
        vectors,
        subspaces,
        prompts,
        fresh,
        Checkpoint(tmp_path / "rows"),
        "p",
        FOUR,
        settings,
    )
    mapped = mapped_by(vectors, lambda emotion, own: own[emotion])
    table = steer_with_mapped_vectors(
        model, evaluator, mapped, vectors, subspaces, sweep, activations, FOUR, settings
    )
    # The whole vector is another than its part in the subspace, so this tells them apart.
    assert (table.loc[table["vector"] == "mapped", "cosine_own"] < 0.999).all()
    confirm, before = sweep["halves"]["confirm"], sweep["baseline"]["metrics"]
    for emotion, choice in choose(sweep).items():
        metric, label = FOUR.target_metrics[emotion].split("/")
        cell = sweep["sweep_results"][emotion][choice.layer][choice.alpha]["metrics"]
        wanted = np.mean([cell[p][metric][label] - before[p][metric][label] for p in confirm])
        own = table[
            (table["vector"] == "own")
            & (table["emotion"] == emotion)
            & (table["metric_name"] == f"{metric}.{label}")
        ]
        np.testing.assert_allclose(own["mean_diff"].item(), wanted, atol=1e-6)


def test_a_mapped_vectors_effect_is_ranked_among_those_of_random_ones(perfect):
    shown = perfect[perfect["metric_name"] != "fluency.nll"]
    for emotion, rows in shown.groupby("emotion"):
        random = rows.loc[rows["vector"] == "mapped_random", "mean_diff"].tolist()
        for kind in ("own", "mapped"):
            row = rows[rows["vector"] == kind].iloc[0]
            reached = [value for value in random if value >= row["mean_diff"]]
            assert row["p_random"] == (1 + len(reached)) / 4, emotion
            assert row["n_random"] == 3
            drawn = rows.loc[rows["vector"] == "covariance", "mean_diff"]
            assert row["p_covariance"] == (1 + (drawn >= row["mean_diff"]).sum()) / 5, emotion
            assert row["n_covariance"] == 4
    assert perfect.loc[perfect["metric_name"] == "fluency.nll", "p_random"].isna().all()
    random = perfect[perfect["vector"].isin(["mapped_random", "covariance"])]
    assert random[["p_random", "p_covariance"]].isna().all(axis=None)


def test_cost_and_dose_stand_beside_what_a_mapped_vector_does(perfect, vectors, residual_sweep):
    coordinates = ["emotion", "vector", "number"]
    for _, rows in perfect.groupby(coordinates):
        own, fluency = (rows[rows["metric_name"].eq("fluency.nll") == is_it] for is_it in (0, 1))
        assert own["fluency_loss"].item() == fluency["mean_diff"].item()
        assert own["share_wrong_way"].between(0, 1).all()
        assert fluency["share_wrong_way"].isna().all()
    for row in perfect.to_dict("records"):
        length = np.linalg.norm(vectors["emotion_vectors"][row["emotion"]][row["layer"]])
        stream = residual_sweep["residual_norms"][row["layer"]]
        assert row["relative_dose"] == pytest.approx(row["alpha"] * length / stream)


def test_random_directions_of_the_covariance_are_those_of_phase_5(
    perfect, model, vectors, activations, residual_sweep
):
    layer = int(perfect["layer"].iloc[0])
    vector = vectors["emotion_vectors"]["anger"][layer]
    pooled = pool_positions(activations, FOUR, strategy="last_token", layers=[layer])
    controls = covariance_controls(
        pooled,
        {("anger", layer): vector},
        SETTINGS.covariance_seeds({("anger", layer): vector}),
        split="train",
    )
    rows = perfect[(perfect["vector"] == "covariance") & (perfect["emotion"] == "anger")]
    found = rows.drop_duplicates("number")["cosine_own"].tolist()
    assert found == pytest.approx([control.cosine for control in controls["anger", layer]])


def test_a_mapped_vector_that_is_one_more_random_one_has_a_flat_rank():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(400):
        effects_of_all = rng.normal(size=20)
        table = pd.DataFrame(
            {
                "choice": "headline",
                "emotion": "anger",
                "metric_name": "goemotions.anger",
                "vector": ["mapped", *["mapped_random"] * 19],
                "mean_diff": effects_of_all,
            }
        )
        found.append(_with_ranks(table)["p_random"].iloc[0])
    assert stats.kstest(np.array(found) - rng.uniform(0, 0.05, 400), "uniform").pvalue > 0.01
    # 400 studies at 5 %: twenty, give or take three standard deviations of 4.4.
    assert 7 <= (np.array(found) <= 0.05).sum() <= 33
