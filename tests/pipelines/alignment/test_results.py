"""What phase 4 writes, and what it refuses."""

import numpy as np
import pytest

from emotion_circuits.errors import InputError
from emotion_circuits.pipelines.alignment.nodes import align_models
from emotion_circuits.pipelines.alignment.pairing import pair_models
from emotion_circuits.pipelines.alignment.settings import AlignmentSettings
from emotion_circuits.pipelines.emotion_vectors.nodes import (
    fit_emotion_subspaces,
    fit_emotion_vectors,
)
from emotion_circuits.pipelines.emotion_vectors.settings import EmotionVectorSettings
from study_emotions import FOUR


def test_results_have_the_form_of_the_file_contract(aligned, two_models):
    results, metadata = aligned.alignment["results"], aligned.alignment["metadata"]
    assert {"layer", "k", "emotion", "overlap_before", "overlap_after"} <= set(results[0])
    assert {row["emotion"] for row in results} == set(FOUR.names)
    assert [metadata[key] for key in ("profile", "model_a", "model_b")] == [
        "planted",
        "model0_16",
        "model1_14",
    ]
    assert metadata["overlap_before_in"] == "neutral_pca"
    sweep = aligned.k_sweep["sweep_results"]
    assert list(sweep) == [0, 1, 2]
    assert list(sweep[0]) == list(FOUR.names)
    assert list(sweep[0]["anger"]) == [1, 2, 3, 4]
    assert {"overlap_cos_squared", "mean_principal_angle"} <= set(sweep[0]["anger"][1])
    row = next(r for r in results if (r["layer"], r["emotion"], r["k"]) == (1, "anger", 2))
    assert sweep[1]["anger"][2]["overlap_cos_squared"] == row["overlap_after"]
    assert {type(row[key]) for key in ("layer", "k")} == {int}


def test_mapped_vectors_are_vectors_of_the_other_model(aligned, two_models):
    vectors = aligned.mapped_vectors
    n_pairs = len(vectors["metadata"]["layer_indices"])
    assert vectors["metadata"]["model_name"] == "model1_14"
    assert vectors["metadata"]["layer_indices"] == [0, 1, 3]
    for emotion in FOUR.names:
        assert vectors["emotion_vectors"][emotion].shape == (n_pairs, 14)
        assert vectors["random_vectors"][emotion].shape == (20, n_pairs, 14)


def test_widths_that_are_equal_are_compared_as_they_are(make_model, align):
    found = align(make_model(0), make_model(1))
    assert found.alignment["metadata"]["overlap_before_in"] == "residual_stream"
    np.testing.assert_allclose(found.overlaps["chance_before"], found.overlaps["chance"])


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"prompts": lambda texts: [*texts[:7], "other", *texts[8:]]},
            r"model0_16 and model1_14 .* different prompts: prompts\[7\] is 'text 7' and 'other'",
        ),
        ({"prompts": lambda texts: texts[:-1]}, r"captured on 240 and 239 prompts"),
        ({"labels": lambda labels: labels[::-1]}, r"labels\[0\] is 'gratitude' and 'neutral'"),
        (
            {"splits": lambda splits: ["train", *splits[1:]]},
            r"splits\[0\] is 'test' and 'train'; capture both on the same dataset",
        ),
    ],
)
def test_models_that_read_other_prompts_are_refused(two_models, align, change, line):
    a, b = two_models
    with pytest.raises(InputError, match=line) as caught:
        # Phase 3 still gets what it can work with; only what phase 4 sees is changed.
        align_changed(align, a, b, {key: edit(b[key]) for key, edit in change.items()})
    assert "\n" not in str(caught.value)


def align_changed(align, a, b, change):
    settings = EmotionVectorSettings(n_components=2)
    return align_models(
        a,
        {**b, **change},
        *(fit_emotion_vectors(one, FOUR, settings)[0] for one in (a, b)),
        *(fit_emotion_subspaces(one, FOUR, settings) for one in (a, b)),
        profile="planted",
        emotions=FOUR,
        settings=AlignmentSettings(),
    )


def test_vectors_that_were_measured_differently_are_refused(two_models):
    ways = [
        EmotionVectorSettings(n_components=2, position_strategy=position)
        for position in ("mean_over_tokens", "last_token")
    ]
    vectors = [fit_emotion_vectors(m, FOUR, w)[0] for m, w in zip(two_models, ways, strict=True)]
    subspaces = [fit_emotion_subspaces(m, FOUR, ways[0]) for m in two_models]
    with pytest.raises(InputError, match="position_strategy 'mean_over_tokens' and 'last_token'"):
        pair_models(
            two_models,
            tuple(vectors),
            tuple(subspaces),
            FOUR,
            map_positions=["mean_over_tokens"],
            layer_matching="relative_depth",
        )


def test_settings_are_checked():
    for wrong, line in (
        ({"method": "svd"}, "method is 'svd'"),
        ({"n_permutations": 10}, "n_permutations is 10: .*greater than or equal to 100"),
        ({"k_mx": 3}, "'k_mx' is unknown; .*nearest: k_max"),
        ({"penalties": [0.0]}, "penalties.0 is 0.0"),
    ):
        with pytest.raises(InputError, match=line):
            AlignmentSettings.model_validate(wrong)
