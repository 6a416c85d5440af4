"""Whole studies in the project's own folder: small settings, and the files that come of them."""

from emotion_circuits.session import StudySession

MODELS = ("tiny_gpt2", "tiny_llama")
PAIR = "_vs_".join(MODELS)
N_PROMPTS, N_PATCHED = 5, 3  # of each label, and neutral ones that are steered
SMALL = {
    "dataset": {"max_samples_per_emotion": N_PROMPTS},
    "emotion_vectors": {"n_components": 2, "n_shuffles": 2},
    "alignment": {"n_permutations": 100, "n_random": 5},
    "residual_patching": {
        "max_samples_per_emotion": N_PATCHED,
        "layers": [1, 3],
        "alphas": [2.0],
        "sequence_length": 4,
        "num_random": 1,
        "num_covariance": 1,
        "num_shuffled": 1,
        "n_bootstrap": 20,
    },
    "head_screening": {
        "layers": [1],
        "max_samples_per_emotion": 2,
        "sequence_length": 4,
        "n_bootstrap": 20,
    },
    "head_patching": {
        "top_k": 2,
        "max_samples_per_emotion": 2,
        "sequence_length": 4,
        "num_random": 1,
        "num_other": 1,
        "rank_random": 2,
        "n_bootstrap": 20,
    },
    "statistics": {"n_bootstrap": 100, "n_permutations": 100},
}


def run(
    project,
    results,
    env="baseline_smoke",
    parameters=None,
    settings=SMALL,
    conf_source=None,
    **arguments,
):
    """Run a study in this process; ``parameters`` replace whole groups of the settings."""
    runtime = {"results_root": str(results), **settings, **(parameters or {})}
    with StudySession.create(
        project, env=env, conf_source=conf_source, runtime_params=runtime
    ) as session:
        return session.run(**arguments)


def catalog_of(project, results):
    runtime = {"results_root": str(results)}
    with StudySession.create(project, env="baseline_smoke", runtime_params=runtime) as session:
        return session.load_context().catalog


def files_of(folder):
    """All files of a folder but the records of how they were made."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "provenance"
    }


def phase_3_files(model):
    return {
        f"emotion_vectors/{model}_vectors_token_based.pkl",
        f"emotion_vectors/{model}_norms.csv",
        f"emotion_vectors/{model}_cosines.csv",
        f"emotion_vectors/{model}_probes.csv",
        f"emotion_vectors/{model}_probe_auroc.json",
        f"emotion_subspaces/{model}_subspaces.pkl",
    }


def phase_4_files():
    return {
        f"alignment/{PAIR}_token_based_full.pkl",
        f"alignment/k_sweep_{PAIR}.pkl",
        f"alignment/{PAIR}_overlaps.csv",
        f"alignment/{PAIR}_overlaps.json",
        f"alignment/{PAIR}_maps.csv",
        f"alignment/{PAIR}_transfer.csv",
        f"alignment/{PAIR}_transfer.json",
        f"alignment/{PAIR}_transfer_matrix.csv",
        f"alignment/{PAIR}_transfer_steering.csv",
        f"alignment/{PAIR}_mapped_vectors.pkl",
    }


def phase_5_files(model):
    return {
        *(
            f"patching/residual/{model}_{name}"
            for name in (
                "residual_sweep.pkl",
                "residual_metrics.csv",
                "dose_response.csv",
                "dose_response.json",
                "specificity.csv",
                "specificity.json",
                "side_effects.csv",
                "prompting.csv",
                "prompting_texts.csv",
                "said_or_expressed.csv",
                "said_or_expressed.json",
                "selection.csv",
            )
        ),
        f"patching_random/{model}_random_sweep.pkl",
        f"patching_random/{model}_controls.csv",
    }


def phase_6_files(model):
    return {
        f"screening/head_scores_{model}.json",
        f"screening/head_scores_{model}.csv",
        f"screening/{model}_head_map.json",
        f"screening/{model}_head_agreement.csv",
        f"patching/head_patching/{model}_head_ablation.pkl",
        f"patching/head_patching/{model}_head_patching.pkl",
        f"patching/head_patching/{model}_head_metrics.csv",
        f"patching/head_patching/{model}_head_summary.csv",
        f"patching/head_patching/{model}_head_sets.json",
        f"patching/head_patching/{model}_head_ranks.csv",
        f"patching/head_patching/{model}_head_readings.csv",
    }


def files_of_model(model):
    return {
        f"activations/{model}.pkl",
        *phase_3_files(model),
        *phase_5_files(model),
        *phase_6_files(model),
    }


def reports():
    """The report's page, Markdown and figures, without what was not run."""
    sections = ("answer", "dataset", "emotion_vectors", "alignment", "residual_patching")
    sections += ("heads", "circuits", "statistics", "record")
    scores = ("drop_mean", "drop_zero", "reaction_drop_mean", "logit_contrast_drop_mean")
    scores += ("direct_write", "attribution_projection_mean")
    figures = ("probe_auroc", "vectors", "cosines", "variance", "dose_response", "specificity")
    figures += ("said_or_expressed", "side_effects", "head_sets")
    figures += tuple(f"head_map_{score}" for score in scores)
    names = {f"{model}_{figure}" for model in MODELS for figure in figures}
    names |= {f"{PAIR}_{figure}" for figure in ("overlaps", "transfer", "transfer_steering")}
    return {
        *("reports/study.html", "reports/headline.csv"),
        *(f"reports/{section}.md" for section in sections),
        *(f"reports/{model}_continuations.json" for model in MODELS),
        *(f"reports/figures/{name}.svg" for name in (*names, "claims", "power")),
    }


def files_of_study():
    """Every file of a whole study of both models."""
    return {
        *("dataset/emotion_dataset.jsonl", "dataset/statistics.json"),
        *(name for model in MODELS for name in files_of_model(model)),
        *phase_4_files(),
        *(
            f"statistics/{name}"
            for name in (
                *("effect_sizes.csv", "power_analysis.csv", "power_analysis.json"),
                *("k_sweep_raw.csv", "k_selection.csv", "overlap_places.csv"),
                *("claims.json", "power.json"),
            )
        ),
        *reports(),
        "timing/phase_timings.jsonl",
    }
