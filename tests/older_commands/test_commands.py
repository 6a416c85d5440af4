"""Each older command writes what the equal run of the pipelines writes."""

import os
import pickle
import shutil
import subprocess
import sys
from itertools import groupby

import numpy as np
import pytest

from studies import PAIR, files_of, phase_3_files, phase_4_files, phase_5_files, phase_6_files
from studies import run as run_pipelines

MODEL = "tiny_gpt2"
# Settings that older commands have no options for, in both studies.
QUICK = {
    "dataset": {"max_samples_per_emotion": 5},
    "emotion_vectors": {"n_shuffles": 2},
    "alignment": {"n_permutations": 100, "n_random": 5},
    "residual_patching": {"n_bootstrap": 20},
    "head_screening": {"n_bootstrap": 20},
    "head_patching": {"num_random": 1, "num_other": 1, "rank_random": 2, "n_bootstrap": 20},
    "statistics": {"n_permutations": 100},
}
# Commands in order: module, options, namespaces, and the parameters that the options and their
# defaults stand for.
CHAIN = [
    ("data.build_dataset", [], None, {}),
    (
        "analysis.run_phase2_activations",
        ["--hook-pos", "both", "--max-samples-per-emotion", 4],
        None,
        {
            "activations": {
                "hook_points": ["resid_pre", "resid_post"],
                "max_samples_per_emotion": 4,
                "batch_size": 16,
            }
        },
    ),
    (
        "analysis.run_phase3_vectors",
        ["--no-use-torch", "--n-components", 3],
        None,
        {"emotion_vectors": {"n_components": 3, "backend": "sklearn"}},
    ),
    (
        "analysis.run_phase4_alignment",
        ["--model-a", "tiny_gpt2", "--model-b", "tiny_llama"],
        None,  # the only pair
        {"alignment": {"k_max": 8, "backend": "torch"}},
    ),
    (
        "analysis.run_phase5_residual_patching",
        [
            *("--model", MODEL, "--layers", 1, 3, "--random-control", "--num-random", 2),
            *("--sequence-length", 4, "--alpha", 2, "--max-samples-per-emotion", 3),
        ],
        [MODEL],
        {
            "residual_patching": {
                "layers": [1, 3],
                "window": 3,
                "sequence_length": 4,
                "alphas": [2.0],
                "max_samples_per_emotion": 3,
                "rows": 8,
                "batch_size": 8,
                "num_random": 2,
                "num_covariance": 2,
                "num_shuffled": 2,
            }
        },
    ),
    (
        "analysis.run_phase6_head_screening",
        ["--model", MODEL, "--layers", 1, "--max-samples", 2, "--sequence-length", 4],
        [MODEL],
        {
            "head_screening": {
                "layers": [1],
                "max_samples_per_emotion": 2,
                "sequence_length": 4,
                "rows": 8,
                "batch_size": 8,
            }
        },
    ),
    (
        "analysis.run_phase6_head_patching",
        [
            *("--model", MODEL, "--heads", "0:0", "1:3", "--max-samples", 2, "--batch-size", 4),
            *("--sequence-length", 4, "--device", "cpu"),
        ],
        [MODEL],
        {
            "head_patching": {
                "heads": "0:0 1:3",
                "max_samples_per_emotion": 2,
                "sequence_length": 4,
                "rows": 4,
                "batch_size": 4,
            }
        },
    ),
    (
        "analysis.run_phase7_statistics",
        [
            *("--n-bootstrap", 100, "--effect-targets", 0.4, "--power-target", 0.9, "--seed", 3),
            *("--correction-cols", "phase", "emotion", "--disable-transformer-metrics"),
        ],
        None,
        {
            "statistics": {
                "n_bootstrap": 100,
                "alpha": 0.05,
                "seed": 3,
                "n_jobs": 1,
                "correction_family": ["phase", "emotion"],
                "power_target": 0.9,
                "effect_targets": [0.4],
            }
        },
    ),
]
PIPELINES = {
    "data.build_dataset": "dataset",
    "analysis.run_phase2_activations": "activations",
    "analysis.run_phase3_vectors": "emotion_vectors",
    "analysis.run_phase4_alignment": "alignment",
    "analysis.run_phase5_residual_patching": "residual_patching",
    "analysis.run_phase6_head_screening": "head_screening",
    "analysis.run_phase6_head_patching": "head_patching",
    "analysis.run_phase7_statistics": "statistics",
}
# These number their tensors anew each time they are written, or hold times.
NOT_BYTEWISE = {"timing/phase_timings.jsonl", f"activations/{MODEL}.pkl"}


def assignments(results, settings):
    """Write settings as ``--params`` takes them."""
    values = [
        f"{group}.{name}={value}" for group in settings for name, value in settings[group].items()
    ]
    return ["--params", f"results_root={results}", *values]


@pytest.fixture(scope="module")
def both(in_project, main, tmp_path_factory):
    """The results of all commands, and of the runs that they stand for."""
    older, newer = tmp_path_factory.mktemp("older"), tmp_path_factory.mktemp("newer")
    settings = dict(QUICK)
    for module, options, _, parameters in CHAIN:
        main(module, "--profile", "baseline_smoke", *options, *assignments(older, QUICK))
        settings |= {group: QUICK.get(group, {}) | own for group, own in parameters.items()}
    for namespaces, group in groupby(CHAIN, key=lambda command: command[2]):
        names = [PIPELINES[module] for module, *_ in group]
        run_pipelines(
            in_project, newer, settings=settings, pipeline_names=names, namespaces=namespaces
        )
    return older / "baseline_smoke", newer / "baseline_smoke"


@pytest.mark.slow
def test_the_commands_write_the_files_of_their_phases(both):
    found = files_of(both[0])
    assert {"dataset/emotion_dataset.jsonl", f"activations/{MODEL}.pkl"} <= found
    wanted = phase_3_files(MODEL) | phase_5_files(MODEL) | phase_6_files(MODEL) | phase_4_files()
    # Phase 4 does not steer with mapped vectors.
    assert wanted - found == {f"alignment/{PAIR}_transfer_steering.csv"}
    assert {"statistics/effect_sizes.csv", "statistics/k_selection.csv"} <= found


@pytest.mark.slow
def test_they_are_those_of_the_equal_runs_bit_by_bit(both):
    older, newer = both
    names = files_of(older)
    assert names == files_of(newer)
    for name in names - NOT_BYTEWISE - {"activations/tiny_llama.pkl"}:
        assert (older / name).read_bytes() == (newer / name).read_bytes(), name
    first, second = (
        pickle.loads((folder / f"activations/{MODEL}.pkl").read_bytes()) for folder in both
    )
    assert first["prompts"] == second["prompts"]
    assert len(first["prompts"]) == 16
    for point in ("resid_pre", "resid_post"):
        np.testing.assert_array_equal(first[point], second[point])


@pytest.mark.slow
def test_files_have_the_keys_of_the_contract(both):
    older, _ = both
    sweep = pickle.loads((older / f"patching/residual/{MODEL}_residual_sweep.pkl").read_bytes())
    assert set(sweep["sweep_results"]["anger"]) == {1, 3}
    assert sweep["patch_window"] == 3
    assert sweep["sequence_length"] == 4
    heads = pickle.loads((older / f"patching/head_patching/{MODEL}_head_ablation.pkl").read_bytes())
    assert heads["heads"] == [(0, 0), (1, 3)]
    random = pickle.loads((older / f"patching_random/{MODEL}_random_sweep.pkl").read_bytes())
    assert random["num_random"] == 2
    subspaces = pickle.loads((older / f"emotion_subspaces/{MODEL}_subspaces.pkl").read_bytes())
    assert subspaces["metadata"]["n_components"] == 3


@pytest.mark.slow
def test_without_random_control_nothing_but_emotions_is_steered(main, both, tmp_path):
    module, options, *_ = CHAIN[4]
    options = [word for word in options if word != "--random-control"]
    linked = copied(both[0], tmp_path)
    main(module, "--profile", "baseline_smoke", *options, *assignments(linked, QUICK))
    path = linked / f"baseline_smoke/patching_random/{MODEL}_random_sweep.pkl"
    result = pickle.loads(path.read_bytes())
    assert result["num_random"] == 0
    assert not any(layers for layers in result["random_results"].values())


def copied(profile, folder):
    """Copy results, so that no earlier phase runs again."""
    for name in (
        *("dataset", "activations", "emotion_vectors", "emotion_subspaces", "screening"),
        "patching",
    ):
        shutil.copytree(profile / name, folder / "baseline_smoke" / name)
    return folder


def test_a_command_runs_as_a_module_and_computes_what_it_needs_first(in_project, tmp_path):
    command = [sys.executable, "-m", "src.analysis.run_phase3_vectors", "--profile"]
    command += ["baseline_smoke", "--model", "tiny_llama", *assignments(tmp_path, QUICK)]
    environment = {**os.environ, "DO_NOT_TRACK": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=in_project, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Missing inputs are computed first: dataset, activations" in done.stderr + done.stdout
    found = files_of(tmp_path / "baseline_smoke")
    assert phase_3_files("tiny_llama") <= found
    assert not any("tiny_gpt2" in name for name in found)


@pytest.mark.slow
def test_a_head_that_the_model_lacks_is_one_line(main, both, tmp_path, capsys):
    results = copied(both[0], tmp_path)
    words = ["--profile", "baseline_smoke", "--model", MODEL, "--heads", "0:0", "9:9"]
    with pytest.raises(SystemExit) as stopped:
        main("analysis.run_phase6_head_patching", *words, *assignments(results, QUICK))
    assert stopped.value.code == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last == "Error: head spec '9:9': layer 9 is out of range; allowed are 0 to 4"


@pytest.mark.slow
def test_vectors_are_of_the_activations_that_were_asked_for(main, both, tmp_path):
    """A stream that is three times as long has vectors three times as long."""
    older = both[0]
    path = older / f"activations/{MODEL}.pkl"
    result = pickle.loads(path.read_bytes())
    file = tmp_path / "three_times.pkl"
    file.write_bytes(pickle.dumps(result | {"resid_post": 3 * result["resid_post"]}))
    shutil.copytree(older / "dataset", tmp_path / "baseline_smoke" / "dataset")
    words = ["--profile", "baseline_smoke", "--model", MODEL, "--activations", file]
    main("analysis.run_phase3_vectors", *words, *assignments(tmp_path, QUICK))
    name = f"emotion_vectors/{MODEL}_vectors_token_based.pkl"
    once, thrice = (
        pickle.loads((folder / name).read_bytes())["emotion_vectors"]
        for folder in (older, tmp_path / "baseline_smoke")
    )
    for emotion in once:
        # Float32 sums of other numbers round otherwise.
        np.testing.assert_allclose(thrice[emotion], 3 * once[emotion], rtol=1e-3, atol=1e-4)
    assert not (tmp_path / "baseline_smoke" / "activations").exists()


@pytest.mark.slow
def test_the_subspaces_that_were_asked_for_are_compared(main, both, tmp_path):
    """With another layer's subspace in place of one, overlaps are other ones there alone."""
    older = both[0]
    results, folder = copied(older, tmp_path / "results"), tmp_path / "subspaces"
    shutil.copytree(older / "emotion_subspaces", folder)
    name = f"alignment/{PAIR}_token_based_full.pkl"
    words = ["--profile", "baseline_smoke", "--subspace-dir", folder]

    def overlaps(profile):
        lines = pickle.loads((profile / name).read_bytes())["results"]
        return {(x["emotion"], x["layer"], x["k"]): x["overlap_trained"] for x in lines}

    file = folder / f"{MODEL}_subspaces.pkl"
    changed = pickle.loads(file.read_bytes())
    by_layer = changed["subspaces"]["anger"]
    by_layer[1] = by_layer[1] | {"components": by_layer[4]["components"]}
    file.write_bytes(pickle.dumps(changed))
    main("analysis.run_phase4_alignment", *words, *assignments(results, QUICK))
    before, after = overlaps(older), overlaps(results / "baseline_smoke")
    assert list(before) == list(after)
    differing = {place[:2] for place in before if before[place] != after[place]}
    assert differing == {("anger", 1)}


# Settings of phase 8, which has no options for them.
CIRCUITS = {
    "circuits": {
        **{"num_random": 2, "n_sizes": 4, "num_shuffled": 1, "num_orders": 1, "steps": 2},
        **{"num_resamples": 2, "edges": "null", "neurons": "null", "n_bootstrap": 20},
    },
    "head_roles": {"n_random": 1, "n_bootstrap": 20, "n_permutations": 19},
    "circuit_interventions": {
        **{"num_random": 1, "num_controls": 1, "sequence_length": 4, "max_prompts": 2},
        **{"n_bootstrap": 20, "single_nodes": "false", "betas": "[1.0]"},
    },
}


@pytest.mark.slow
def test_phase_8_writes_its_files_for_the_model_alone(main, both, tmp_path):
    results = copied(both[0], tmp_path)
    words = ["--profile", "baseline_smoke", "--model", MODEL]
    main("analysis.run_phase8_circuits", *words, *assignments(results, QUICK | CIRCUITS))
    found = files_of(results / "baseline_smoke" / "circuits")
    endings = (
        *("circuit.json", "circuit.graphml", "edges.csv", "neurons.csv", "stability.csv"),
        *("heads.csv", "role_stability.csv", "dissociation.csv", "lens.csv"),
        *("circuit_interventions.csv", "interactions.csv", "modulation.csv", "equal_cost.csv"),
        *("curves.json", "graph.json", "interactions.json", "modulation.json"),
    )
    assert found == {f"{MODEL}_{ending}" for ending in endings}
