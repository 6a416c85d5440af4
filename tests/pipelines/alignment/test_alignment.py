"""What alignment finds where the truth is known, and what it must not find."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import mannwhitneyu, ortho_group

from emotion_circuits.geometry.maps import LinearMap, MapOptions, fit_map
from emotion_circuits.geometry.overlaps import (
    Both,
    LayerPair,
    measure_overlaps,
)
from emotion_circuits.language_models import ModelSpec, load_language_model
from emotion_circuits.pipelines.activations.nodes import capture_activations
from emotion_circuits.pipelines.activations.settings import ActivationSettings
from emotion_circuits.seeds import rng_for
from emotion_circuits.statistics import max_t_p, rank_p, select_k
from study_emotions import FOUR

METHODS = ("ridge", "procrustes", "cca")


def emotional(table):
    return table[table["emotion"].isin(FOUR.names)]


def turned(activations, rotation, shift=0.0):
    changed = {**activations, "model_name": "copy"}
    for key in ("resid_post", "resid_pre", "resid_post_last"):
        if activations.get(key) is not None:
            stream = activations[key].double() @ torch.from_numpy(rotation).T + shift
            changed[key] = stream.to(activations[key].dtype)
    return changed


def shuffled_neutral(activations, seed):
    """Neutral training texts get each other's activations; nothing else changes."""
    rows = [
        row
        for row, (label, split) in enumerate(
            zip(activations["labels"], activations["splits"], strict=True)
        )
        if label == "neutral" and split == "train"
    ]
    changed = {**activations, "resid_post": activations["resid_post"].clone()}
    order = np.random.default_rng(seed).permutation(rows)
    changed["resid_post"][rows] = activations["resid_post"][torch.from_numpy(order)]
    return changed


@pytest.fixture(scope="module")
def real_model(project_root):
    """The shipped tiny_llama on the study's prompts, means over tokens."""
    source = project_root / "data/models/tiny_llama"
    prompts = pd.read_json(project_root / "data/emotion_dataset_embedded.jsonl", lines=True)
    model = load_language_model(ModelSpec(name="tiny_llama", source=str(source), device="cpu"))
    settings = ActivationSettings(pooling="mean", hook_points=["resid_post"], layers=[1, 3])
    return capture_activations(model, prompts, settings)


@pytest.mark.parametrize("method", METHODS)
def test_a_rotated_copy_of_a_real_model_goes_from_chance_to_one(real_model, align, method):
    rotation = ortho_group.rvs(real_model["metadata"]["d_model"], random_state=0)
    rank = 96 if method == "cca" else None
    found = align(real_model, turned(real_model, rotation, 0.5), method=method, rank=rank)
    table = emotional(found.overlaps)
    assert (table["overlap_after"] >= 0.99).all()
    assert (table["overlap_before"] <= table["null_p95"]).mean() > 0.9
    assert abs((table["overlap_before"] - table["chance"]).mean()) < 0.02
    assert (table["overlap_trained"] >= 0.99).all()
    assert (found.transfer["cosine_own"] > 0.99).all()
    np.testing.assert_allclose(
        found.transfer["auroc_mapped"], found.transfer["auroc_own"], atol=0.01
    )


@pytest.mark.slow
def test_a_rotated_copy_with_shuffled_pairs_stays_in_the_null(real_model, align):
    rotation = ortho_group.rvs(real_model["metadata"]["d_model"], random_state=0)
    copy = turned(real_model, rotation)
    p = pd.concat(
        emotional(align(real_model, shuffled_neutral(copy, seed)).overlaps)["p_value"]
        for seed in range(20)
    )
    # Of 20 shuffles at two layers, 5 % on average; k and emotions go together.
    assert (p <= 0.05).mean() < 0.12
    assert 0.35 < p.median() < 0.65


def test_a_model_overlaps_with_itself_completely(make_model, align):
    model = make_model()
    table = align(model, {**model, "model_name": "same"}).overlaps
    np.testing.assert_allclose(table["overlap_before"], 1, atol=1e-9)
    np.testing.assert_allclose(emotional(table)["overlap_after"], 1, atol=1e-4)


@pytest.mark.slow
def test_false_alarms_come_at_the_stated_rate(make_model):
    """Many studies whose pairs mean nothing, the penalty chosen in each as ever."""
    rng = np.random.default_rng(0)
    found = []
    for study in range(400):
        a, b, differences_a, differences_b = (
            rng.normal(size=(30, d)) * np.geomspace(3, 0.3, d) for d in (10, 8, 10, 8)
        )
        neutral = Both(a[:, None], b[:, None])
        layer = LayerPair(neutral, {"anger": Both(differences_a, differences_b)}, {}, FOUR.names)
        overlaps = measure_overlaps(
            layer,
            fit_map(*neutral, MapOptions()),
            np.stack([rng.permutation(30) for _ in range(99)]),
            k_max=3,
            center=False,
            n_splits=1,
            n_resamples=1,
            seed=study,
            options=MapOptions(),
        )["anger"]
        found.append(
            [
                *rank_p(overlaps.after, overlaps.null),
                max_t_p(overlaps.after, overlaps.null).min(),
            ]
        )
    # 400 studies at 5 %: twenty alarms, give or take three standard deviations of 4.4.
    alarms = (np.array(found) <= 0.05).sum(axis=0)
    assert ((alarms >= 7) & (alarms <= 33)).all(), alarms


@pytest.mark.parametrize("method", ["ridge", "cca"])
def test_what_two_models_of_different_width_and_depth_share_is_found(two_models, align, method):
    found = align(*two_models, method=method, rank=12)
    table = emotional(found.overlaps)
    assert (table["overlap_after"] > table["null_p95"]).mean() > 0.9
    first = table[table["k"] == 1]
    assert (first["overlap_after"] > 0.8).all()
    assert (first["overlap_other_emotions"] < 0.3).all()
    assert (first["overlap_before"] < first["overlap_after"]).all()
    assert (found.transfer["auroc_mapped"] > 0.9).all()
    assert found.transfer["auroc_random_mean"].mean() == pytest.approx(0.5, abs=0.1)
    assert (found.transfer["auroc_shuffled_p95"] < found.transfer["auroc_own"]).mean() > 0.5


def test_a_rotation_finds_less_where_the_models_differ_by_more_than_one(two_models, align):
    table = emotional(align(*two_models, method="procrustes").overlaps)
    assert (table["overlap_after"] > table["null_p95"]).mean() > 0.6
    ridge = emotional(align(*two_models).overlaps)
    assert table["overlap_after"].mean() < ridge["overlap_after"].mean()


def test_models_of_different_worlds_share_nothing(make_model, align):
    found = align(make_model(0), make_model(1, d_model=14, world=5))
    table = emotional(found.overlaps)
    assert (table["p_value"] <= 0.05).mean() < 0.2
    assert (found.maps["r2_test"] < 0.2).all()
    assert abs(found.maps["canonical_test_mean"].mean()) < 0.15


@pytest.mark.slow
def test_the_ceiling_is_what_two_halves_of_the_prompts_agree_on(make_model, align):
    clean, noisy = (
        # Three halvings of twenty noisy pairs differ by more than what is asserted.
        align(make_model(0, noise=noise), make_model(1, noise=noise), n_splits=100).overlaps
        for noise in (0.05, 2.0)
    )
    for table in (clean, noisy):
        first = table[(table["k"] == 1) & (table["emotion"] != "neutral")]
        assert (first["overlap_split"] <= first["ceiling"] + 0.05).all()
    assert clean["ceiling"].mean() > noisy["ceiling"].mean() + 0.1


def test_overlaps_equal_the_definition_in_plain_numpy(two_models, aligned):
    """One cell, from raw activations, with none of the project's geometry."""
    a, b = (model["resid_post"][:, :, 0].numpy() for model in two_models)
    labels, splits = (np.array(two_models[0][key]) for key in ("labels", "splits"))
    row = aligned.overlaps.query("layer_a == 1 and emotion == 'anger' and k == 3").iloc[0]
    layers = (1, int(row["layer_b"]))
    unit = aligned.maps.query("layer_a == 1").iloc[0]["penalty"]

    def of(stream, layer, label, split):
        return stream[(labels == label) & (splits == split), layer]

    x, y = (of(s, layer, "neutral", "train") for s, layer in zip((a, b), layers, strict=True))
    x, y = x - x.mean(0), y - y.mean(0)
    penalty = unit * np.mean(np.linalg.svd(x, compute_uv=False) ** 2)
    matrix = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y).T
    spans = []
    for stream, layer in zip((a, b), layers, strict=True):
        # Pairs come in the same order under every label.
        gap = of(stream, layer, "anger", "test") - of(stream, layer, "neutral", "test")
        spans.append(np.linalg.svd(gap)[2][:3])
    first, second = np.linalg.qr(matrix @ spans[0].T)[0], spans[1].T
    cosines = np.linalg.svd(first.T @ second, compute_uv=False)
    assert row["overlap_after"] == pytest.approx((cosines**2).mean(), abs=1e-7)
    assert row["mean_principal_angle"] == pytest.approx(np.arccos(cosines).mean(), abs=1e-6)


def test_only_neutral_training_prompts_make_the_map(two_models, align, aligned):
    rng = np.random.default_rng(0)
    spoiled = []
    for model in two_models:
        changed = {**model, "resid_post": model["resid_post"].clone()}
        for row, (label, split) in enumerate(zip(model["labels"], model["splits"], strict=True)):
            if label != "neutral" and split == "train":
                changed["resid_post"][row] += torch.from_numpy(
                    rng.normal(size=changed["resid_post"][row].shape)
                )
        spoiled.append(changed)
    found = align(*spoiled)
    pd.testing.assert_frame_equal(found.maps, aligned.maps)
    same = ["overlap_after", "null_p95", "overlap_before", "ceiling"]
    pd.testing.assert_frame_equal(found.overlaps[same], aligned.overlaps[same])
    assert not np.allclose(found.transfer["cosine_own"], aligned.transfer["cosine_own"])


def test_held_out_prompts_move_no_map_and_no_mapped_vector(two_models, align, aligned):
    spoiled = []
    for model in two_models:
        changed = {**model, "resid_post": model["resid_post"].clone()}
        held_out = torch.tensor([split == "test" for split in model["splits"]])
        changed["resid_post"][held_out] *= 3
        spoiled.append(changed)
    found = align(*spoiled)
    for emotion in FOUR.names:
        np.testing.assert_array_equal(
            found.mapped_vectors["emotion_vectors"][emotion],
            aligned.mapped_vectors["emotion_vectors"][emotion],
        )


@pytest.mark.parametrize(
    "method", ["ridge", *(pytest.param(name, marks=pytest.mark.slow) for name in METHODS[1:])]
)
def test_torch_and_numpy_give_the_same_study(make_model, align, method):
    models = make_model(0, n_pairs=18, d_model=7), make_model(1, n_pairs=18, d_model=6)
    by_torch, by_numpy = (
        align(*models, method=method, backend=backend) for backend in ("torch", "numpy")
    )
    for name in ("overlaps", "maps", "transfer", "transfer_matrix"):
        pd.testing.assert_frame_equal(
            getattr(by_torch, name), getattr(by_numpy, name), rtol=0, atol=1e-6
        )


def test_the_order_of_prompts_does_not_matter(two_models, align, aligned):
    order = np.random.default_rng(3).permutation(len(two_models[0]["prompts"]))
    mixed = []
    for model in two_models:
        changed = {**model, "resid_post": model["resid_post"][torch.from_numpy(order)]}
        for key in ("prompts", "labels", "pair_ids", "splits"):
            changed[key] = [model[key][row] for row in order]
        mixed.append(changed)
    found = align(*mixed)
    pd.testing.assert_frame_equal(found.overlaps, aligned.overlaps, rtol=0, atol=1e-9)
    pd.testing.assert_frame_equal(found.transfer, aligned.transfer, rtol=0, atol=1e-9)


def test_the_seed_decides_the_null_and_nothing_else(two_models, align, aligned):
    again, other = align(*two_models), align(*two_models, seed=1)
    pd.testing.assert_frame_equal(again.overlaps, aligned.overlaps)
    pd.testing.assert_frame_equal(again.transfer, aligned.transfer)
    np.testing.assert_array_equal(
        other.overlaps["overlap_after"], aligned.overlaps["overlap_after"]
    )
    assert not np.allclose(other.overlaps["null_p95"], aligned.overlaps["null_p95"])


def test_a_map_of_zeros_gives_zero_and_a_right_angle():
    rng = np.random.default_rng(0)
    zero = LinearMap(np.zeros((5, 6)), np.zeros((1, 6)), np.zeros((1, 5)), 0, 1.0)
    neutral = Both(rng.normal(size=(8, 1, 6)), rng.normal(size=(8, 1, 5)))
    pairs = Both(rng.normal(size=(7, 6)), rng.normal(size=(7, 5)))
    found = measure_overlaps(
        LayerPair(neutral, {"anger": pairs}, {}, FOUR.names),
        zero,
        np.arange(8)[None],
        k_max=3,
        center=False,
        n_splits=2,
        n_resamples=2,
        seed=0,
        options=MapOptions(),
    )["anger"]
    np.testing.assert_array_equal(found.after, 0)
    np.testing.assert_allclose(found.mean_angle, np.pi / 2)


def test_few_prompts_give_few_dimensions(make_model, align):
    few = {"n_components": 1}
    found = align(make_model(0, n_pairs=5), make_model(1, n_pairs=5, d_model=10), few)
    table = found.overlaps
    # Two held-out pairs: two differences, and one once neutral texts are centred.
    assert table.groupby("emotion")["k"].max().to_dict() == {
        "anger": 2,
        "apology": 2,
        "gratitude": 2,
        "neutral": 1,
    }
    assert (
        table[["overlap_before", "overlap_after", "null_p95"]]
        .map(lambda v: 0 <= v <= 1)
        .all(axis=None)
    )
    single = align(make_model(0, n_pairs=3), make_model(1, n_pairs=3), few)
    assert single.overlaps["k"].max() == 1
    assert single.overlaps["ceiling"].isna().all()
    assert {item["emotion"] for item in single.alignment["metadata"]["skipped"]} == {"neutral"}


def test_more_rows_of_a_prompt_can_be_asked_for(two_models, align):
    both = align(*two_models, map_positions=["mean_over_tokens", "last_token"])
    # The planted last token is the mean plus one: the same rows twice, for the same map.
    alone = align(*two_models)
    first = both.overlaps[both.overlaps["k"] == 1]
    assert (emotional(first)["overlap_after"] > 0.8).all()
    assert both.maps["n_train"].tolist() == alone.maps["n_train"].tolist()


def test_layers_can_be_matched_by_hand(two_models, align):
    found = align(*two_models, layer_matching=[(0, 3), (2, 0)])
    pairs = found.overlaps[["layer_a", "layer_b"]].drop_duplicates().to_numpy().tolist()
    assert pairs == [[0, 3], [2, 0]]
    assert found.mapped_vectors["metadata"]["layer_indices"] == [3, 0]


def test_resampled_overlaps_are_those_of_subspaces_refitted_to_the_drawn_pairs():
    rng = np.random.default_rng(3)
    pairs = Both(rng.normal(size=(12, 6)), rng.normal(size=(12, 5)))
    neutral = Both(rng.normal(size=(20, 1, 6)), rng.normal(size=(20, 1, 5)))
    fitted = fit_map(*neutral, MapOptions())
    found = measure_overlaps(
        LayerPair(neutral, {"anger": pairs}, {}, FOUR.names),
        fitted,
        np.arange(20)[None],
        k_max=2,
        center=False,
        n_splits=1,
        n_resamples=4,
        seed=9,
        options=MapOptions(),
    )["anger"]
    draws = rng_for(9, "resampled_pairs")
    for seen in found.resampled:
        chosen = draws.integers(0, 12, 12)
        spans = [np.linalg.svd(side[chosen], full_matrices=False)[2][:2] for side in pairs]
        turned = spans[0] @ fitted.matrix.T
        for k in (1, 2):
            left, right = (np.linalg.qr(rows[:k].T)[0] for rows in (turned, spans[1]))
            cosines = np.linalg.svd(left.T @ right, compute_uv=False)
            np.testing.assert_allclose(seen[k - 1], (cosines**2).mean(), atol=1e-8)


def test_resamples_draw_whole_clusters():
    rng = np.random.default_rng(4)
    pairs = Both(rng.normal(size=(12, 6)), rng.normal(size=(12, 5)))
    neutral = Both(rng.normal(size=(20, 1, 6)), rng.normal(size=(20, 1, 5)))
    fitted = fit_map(*neutral, MapOptions())
    clusters = np.array([f"t{index % 5}" for index in range(12)])
    seen = measure_overlaps(
        LayerPair(neutral, {"anger": pairs}, {}, FOUR.names, {"anger": clusters}),
        fitted,
        np.arange(20)[None],
        k_max=2,
        center=True,
        n_splits=1,
        n_resamples=4,
        seed=9,
        options=MapOptions(),
    )["anger"].resampled
    draws = rng_for(9, "resampled_pairs").integers(0, 5, (4, 5))
    for draw, wanted in zip(draws, seen, strict=True):
        chosen = np.concatenate([np.flatnonzero(clusters == f"t{one}") for one in draw])
        data = [side[chosen] - side[chosen].mean(axis=0) for side in pairs]
        spans = [np.linalg.svd(side, full_matrices=False)[2][:2] for side in data]
        for k in (1, 2):
            left = np.linalg.qr((spans[0][:k] @ fitted.matrix.T).T)[0]
            cosines = np.linalg.svd(left.T @ spans[1][:k].T, compute_uv=False)
            np.testing.assert_allclose(wanted[k - 1], (cosines**2).mean(), atol=1e-8)


def test_pairs_of_different_emotions_are_of_the_same_scenarios_row_by_row(two_models, align):
    """Names of prompts in an order of their own must not put other scenarios side by side."""
    model = two_models[0]
    names = np.random.default_rng(0).permutation(len(model["prompts"]))
    a, b = (one | {"prompts": [f"text {name}" for name in names]} for one in two_models)
    plain, mixed = align(*two_models), align(a, b)
    for emotion in FOUR.names:
        one, two = (found.k_sweep["sweep_results"][1][emotion][2] for found in (plain, mixed))
        np.testing.assert_allclose(one["overlap_bootstrap"], two["overlap_bootstrap"], atol=1e-9)
        for other, comparison in one["specificity"].items():
            for name, values in comparison.items():
                np.testing.assert_allclose(values, two["specificity"][other][name], atol=1e-9)


def test_planted_emotions_are_specific_and_one_emotion_under_three_names_is_not(make_model, align):
    options = {"n_bootstrap": 100, "alpha": 0.05, "seed": 0}
    models = make_model(0, n_pairs=90), make_model(1, n_pairs=90, d_model=14)
    found = select_k([align(*models, n_resamples=100).k_sweep], "p", FOUR.labels, **options)
    assert found.groupby("emotion")["selected_specific"].sum().tolist() == [1, 1, 1]
    # Every emotion's text is the same up to noise: what is shared is shared by all.
    alike = []
    for seed, model in enumerate(models):
        stream = model["resid_post"].clone()
        rng = np.random.default_rng(seed)
        for start in range(0, len(stream), 4):
            for row in range(start + 1, start + 3):
                noise = 0.3 * rng.normal(size=stream[start].shape)
                stream[row] = stream[start] + torch.from_numpy(noise)
        alike.append(model | {"resid_post": stream})
    found = select_k([align(*alike, n_resamples=100).k_sweep], "p", FOUR.labels, **options)
    assert found.groupby("emotion")["selected"].sum().tolist() == [1, 1, 1]
    assert not found["selected_specific"].any()


def test_the_matrix_of_readings_equals_a_loop_and_holds_for_all_rows_together(two_models, aligned):
    matrix = aligned.transfer_matrix
    assert len(matrix) == 3 * 3 * 3 * 2
    stream = two_models[1]["resid_post"][:, :, 0].numpy()
    labels, splits = (np.array(two_models[1][key]) for key in ("labels", "splits"))
    layers = aligned.mapped_vectors["metadata"]["layer_indices"]
    for row in matrix.itertuples():
        vector = aligned.mapped_vectors["emotion_vectors"][row.vector][layers.index(row.layer_b)]
        against = ["neutral"] if row.against == "neutral" else set(FOUR.names) - {row.emotion}
        scores = stream[:, row.layer_b] @ vector
        own = scores[(labels == row.emotion) & (splits == "test")]
        rest = scores[np.isin(labels, list(against)) & (splits == "test")]
        wanted = mannwhitneyu(own, rest).statistic / (len(own) * len(rest))
        assert row.auroc_mapped == pytest.approx(wanted, abs=1e-9)
    assert (matrix["p_value_max"] >= matrix["p_value"] - 1e-9).mean() > 0.9
    own = matrix[(matrix["vector"] == matrix["emotion"]) & (matrix["against"] == "neutral")]
    shared = "layer_a emotion auroc_mapped ci_lower ci_upper p_value p_value_max"
    for column in shared.split():
        assert own[column].tolist() == pytest.approx(aligned.transfer[column].tolist())


def test_the_cosine_of_a_mapped_vector_is_corrected_for_both_reliabilities(aligned):
    table = aligned.transfer
    product = table["reliability_mapped"] * table["reliability_own"]
    np.testing.assert_allclose(table["cosine_own_corrected"], table["cosine_own"] / product**0.5)
    assert ((product > 0.8) & (product <= 1)).all()


def test_a_planted_vector_reads_its_own_emotion_among_the_others_and_no_other(aligned):
    found = aligned.transfer_matrix[aligned.transfer_matrix["against"] == "other_emotions"]
    own = found["vector"] == found["emotion"]
    assert (found.loc[own, "auroc_mapped"] > 0.8).all()
    assert (found.loc[~own, "auroc_mapped"] < 0.6).all()
    assert (found.loc[~own, "p_value_max"] > 0.05).all()


@pytest.mark.slow
def test_readings_by_shuffled_pairs_seldom_pass_together(make_model, align):
    found = []
    for seed in range(12):
        models = make_model(0, n_pairs=30), shuffled_neutral(make_model(1, n_pairs=30), seed)
        found.append((align(*models).transfer_matrix["p_value_max"] <= 0.05).any())
    # At 5 % of studies, more than three of twelve have a chance of one in four hundred.
    assert sum(found) <= 3


def test_phase_7_chooses_k_from_the_sweep_where_something_is_shared_and_none_else(
    make_model, align
):
    model = make_model()
    rotation = ortho_group.rvs(model["metadata"]["d_model"], random_state=0)
    draws = {"n_resamples": 100}
    shared = align(model, turned(model, rotation, 0.5), **draws).k_sweep
    apart = align(model, shuffled_neutral(turned(model, rotation, 0.5), 1), **draws).k_sweep
    options = {"n_bootstrap": 100, "alpha": 0.05, "seed": 0}
    chosen = select_k([shared], "p", FOUR.labels, **options)
    assert (chosen["ci_unit"] == "prompts").all()
    assert chosen.groupby("emotion")["selected"].sum().tolist() == [1, 1, 1]
    assert (chosen["p_value_corrected"] < 0.05).all()
    assert not select_k([apart], "p", FOUR.labels, **options)["selected"].any()
