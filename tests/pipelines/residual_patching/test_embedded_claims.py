"""What the project says of its own models, measured through the study as users run it."""

import pandas as pd
import pytest
from kedro.framework.startup import bootstrap_project

from emotion_circuits.session import StudySession
from study_emotions import FOUR

MODELS = ("tiny_gpt2", "tiny_llama")


@pytest.fixture(scope="module")
def folder(project_root, tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    settings = {"layers": [3, 4], "alphas": [4.0, 6.0, 8.0], "num_shuffled": 0}
    runtime = {"results_root": str(results), "residual_patching": settings}
    bootstrap_project(project_root)
    with (
        pytest.MonkeyPatch.context() as patch,
        StudySession.create(project_root, env="embedded", runtime_params=runtime) as session,
    ):
        patch.chdir(project_root)
        session.run(pipeline_names=["residual_patching"])
    return results / "embedded" / "patching" / "residual"


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_each_emotion_can_be_steered_and_random_directions_cannot(folder, model):
    both = pd.read_csv(folder / f"{model}_selection.csv")
    table = both[both["choice"] == "headline"].set_index("emotion")
    assert list(table.index) == list(FOUR.names)
    assert (table["n"] >= 100).all()
    assert (table["random_n"] >= 20).all()
    assert (table["cohen_d"] >= 0.8).all()
    assert (table["effect_size_ci_lower"] >= 0.8).all()
    assert (table["fluency_loss"] <= 0.5).all()
    assert (table["random_share_below_half"] >= 0.95).all()
    assert (table["random_share_mean_diff_below_half"] >= 0.95).all()
    assert (table["layer"] == 3).all()  # not among the last layers
    assert (table[["random_p", "covariance_p"]] <= 0.05).all(axis=None)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_what_is_steered_towards_moves_most(folder, model):
    table = pd.read_csv(folder / f"{model}_specificity.csv")
    own = table[table["target_of"].notna() & (table["choice"] == "headline")]
    moved = own.pivot_table(index="steered", columns="target_of", values="mean_diff")
    moved = moved.loc[list(FOUR.names), list(FOUR.names)]
    assert (moved.to_numpy().argmax(axis=1) == range(len(FOUR.names))).all()
    assert (moved.to_numpy().argmax(axis=0) == range(len(FOUR.names))).all()
