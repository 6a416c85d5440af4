"""Every older command: its pipeline, and its options with their parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from emotion_circuits.older_commands.options import (
    Option,
    device,
    head,
    number_of_threads,
    one_of,
    positive_int,
    positive_number,
    share,
    strength,
    whole_number,
)

_HOOK_POINTS: Final = {
    "both": ["resid_pre", "resid_post"],
    "resid_pre": ["resid_pre"],
    "resid_post": ["resid_post"],
}
# Every phase that computes on a device, so that phases that are computed first use it as well.
_DEVICES: Final = tuple(
    f"{phase}.device"
    for phase in (
        *("activations", "emotion_vectors", "alignment", "residual_patching"),
        *("head_screening", "head_patching", "circuits", "head_roles", "circuit_interventions"),
    )
)
_NO_EFFECT: Final = "accepted, without effect: "


@dataclass(frozen=True)
class Command:
    """One older command.

    Attributes:
        pipeline: The pipeline that it runs.
        about: What it does, for ``--help``.
        options: Its options; a later one overrides the parameters of earlier ones.
        scope: What ``--model`` chooses: the phase of a ``model``, the ``pairs`` with it, or the
            ``results`` of it that are read; ``none`` if the command has no such option.
    """

    pipeline: str
    about: str
    options: tuple[Option, ...]
    scope: Literal["model", "pairs", "results", "none"] = "model"


def _batch_size(phase: str, default: int) -> Option:
    names = (f"{phase}.rows", f"{phase}.batch_size")
    told = "texts generated, and texts scored, at a time"
    return Option("--batch-size", names, told, default, positive_int)


def _layers(phase: str) -> Option:
    told = "layers, counted from 0"
    return Option("--layers", (f"{phase}.layers",), told, read=whole_number, many=True)


def _n_pairs(phase: str) -> Option:
    told = "largest number of pairs of prompts"
    return Option("--max-samples", (f"{phase}.max_samples_per_emotion",), told, 8, positive_int)


def _length(phase: str, default: int) -> Option:
    told = "largest number of new tokens"
    return Option("--sequence-length", (f"{phase}.sequence_length",), told, default, positive_int)


def _use_torch(phase: str, otherwise: str) -> Option:
    return Option(
        "--use-torch",
        (f"{phase}.backend",),
        f"torch, or else {otherwise}; the results are the same",
        default=True,
        switch="on_off",
        convert=one_of({True: "torch", False: otherwise}),
    )


def _device(*parameters: str, told: str = "device of the models and of torch") -> Option:
    return Option("--device", parameters, told, read=device)


_PHASE_2 = (
    _device(*_DEVICES),
    _layers("activations"),
    Option(
        "--hook-pos",
        ("activations.hook_points",),
        "residual stream before a layer, after it, or both",
        choices=tuple(_HOOK_POINTS),
        convert=one_of(_HOOK_POINTS),
    ),
    Option(
        "--max-samples-per-emotion",
        ("activations.max_samples_per_emotion",),
        "largest number of prompts per label",
        read=positive_int,
    ),
    Option("--batch-size", ("activations.batch_size",), "prompts at a time", 16, positive_int),
)
_PHASE_3 = (
    _device(*_DEVICES),
    Option(
        "--n-components",
        ("emotion_vectors.n_components",),
        "directions per subspace",
        read=positive_int,
        most=8,
    ),
    _use_torch("emotion_vectors", "sklearn"),
    Option("--activations", (), "file of activations, with --model; or folder of <model>.pkl"),
)  # fmt: skip
_PHASE_4 = (
    _device(*_DEVICES),
    Option("--model-a", (), "first model of a pair; it is mapped into the second"),
    Option("--model-b", (), "second model of a pair"),
    Option("--k-max", ("alignment.k_max",), "largest number of directions", 8, positive_int),
    Option("--subspace-dir", (), "folder of <model>_subspaces.pkl"),
    _use_torch("alignment", "numpy"),
)
# Kinds of control directions, which older results had one of.
_CONTROLS: Final = tuple(
    f"residual_patching.num_{kind}" for kind in ("random", "covariance", "shuffled")
)
_PHASE_5 = (
    _device(*_DEVICES),
    _layers("residual_patching"),
    Option(
        "--patch-window", ("residual_patching.window",), "last positions that are patched", 3,
        positive_int,
    ),
    _length("residual_patching", 30),
    Option(
        "--alpha",
        ("residual_patching.alphas",),
        "strength, in lengths of the emotion vector",
        1.0,
        strength,
        convert=lambda alpha: [alpha],
    ),
    Option(
        "--max-samples-per-emotion",
        ("residual_patching.max_samples_per_emotion",),
        "largest number of neutral prompts",
        8,
        positive_int,
    ),
    _batch_size("residual_patching", 8),
    Option("--num-random", _CONTROLS, "control directions of each kind", 3, positive_int),
    Option(
        "--random-control",
        _CONTROLS,
        "also steer with control directions; without it there are none",
        default=False,
        switch="on",
        convert=one_of({False: 0, True: None}),
    ),
)  # fmt: skip
_SCREENING = (
    _device(*_DEVICES),
    _layers("head_screening"),
    _n_pairs("head_screening"),
    _length("head_screening", 20),
    _batch_size("head_screening", 8),
)
_PATCHING = (
    _device(*_DEVICES),
    Option(
        "--heads",
        ("head_patching.heads",),
        "heads, such as 0:0 1:3 (layer:head), 0:0-11, 0:* or all; else the screening chooses",
        read=head,
        many=True,
        convert=" ".join,
    ),
    _n_pairs("head_patching"),
    _length("head_patching", 20),
    _batch_size("head_patching", 8),
)
# Columns that phase 7 can correct by.
_COLUMNS: Final = (
    *("profile", "phase", "model_name", "emotion", "layer", "alpha", "comparison", "metric_name"),
)
_PHASE_7 = (
    _device(told=_NO_EFFECT + "statistics are computed on the CPU"),
    Option(
        "--mode", ("statistics.mode",), "tables to write",
        choices=("effect", "power", "k", "all"),
    ),
    Option(
        "--phase-filter",
        ("statistics.phases",),
        "phases whose effects are listed",
        many=True,
        choices=("residual", "random", "head", "head_screening", "circuit"),
    ),
    Option("--output-dir", ("statistics.output_dir",), "folder of the tables"),
    Option(
        "--n-bootstrap", ("statistics.n_bootstrap",), "resamples per interval", 2000, positive_int
    ),
    Option("--alpha", ("statistics.alpha",), "level of significance", 0.05, share),
    Option("--seed", ("statistics.seed",), "seed of resamples and permutations", read=whole_number),
    Option("--n-jobs", ("statistics.n_jobs",), "threads; -1: one per core", 1, number_of_threads),
    Option(
        "--correction-cols",
        ("statistics.correction_family",),
        "comparisons that agree in these columns are corrected together",
        many=True,
        choices=_COLUMNS,
    ),
    Option(
        "--power-target", ("statistics.power_target",), "power to plan for", 0.8, share
    ),
    Option(
        "--effect-targets",
        ("statistics.effect_targets",),
        "effect sizes (Cohen's d) to plan for",
        (0.2, 0.3, 0.5),
        positive_number,
        many=True,
    ),
    Option(
        "--head-metrics-device", (), _NO_EFFECT + "scores of texts are in the results of phase 6",
        read=device,
    ),
    Option(
        "--disable-transformer-metrics",
        (),
        _NO_EFFECT + "scores of texts are in the results of phases 5 and 6",
        default=False,
        switch="on",
    ),
)  # fmt: skip
_DATASET = (
    Option("--input", ("dataset.input",), "file of texts; else the profile's"),
    Option("--output", ("dataset.output",), "file to write; later phases read the usual one"),
    Option("--text-field", ("dataset.columns.text",), "field or column with the text"),
    Option("--label-field", ("dataset.columns.emotion",), "field or column with the emotion"),
    Option("--emotions", (), "labels to keep; texts with other labels are left out", many=True),
    Option(
        "--prefer-prompts",
        (),
        "read prompt JSON beside the input, of its name with .json, if there is such a file",
        default=False,
        switch="on",
    ),
)

COMMANDS: Final = {
    "build_dataset": Command("dataset", "Phase 1: texts in standard form.", _DATASET, "none"),
    "run_phase2_activations": Command(
        "activations", "Phase 2: the residual stream on every text.", _PHASE_2
    ),
    "run_phase3_vectors": Command(
        "emotion_vectors", "Phase 3: emotion vectors, subspaces and probes.", _PHASE_3
    ),
    "run_phase4_alignment": Command(
        "alignment", "Phase 4: overlap of two models' emotion subspaces.", _PHASE_4, "pairs"
    ),
    "run_phase5_residual_patching": Command(
        "residual_patching", "Phase 5: steering with emotion vectors.", _PHASE_5
    ),
    "run_phase6_head_screening": Command(
        "head_screening", "Phase 6: the effect of each head.", _SCREENING
    ),
    "run_phase6_head_patching": Command(
        "head_patching", "Phase 6: the effect of sets of heads.", _PATCHING
    ),
    "run_phase7_statistics": Command(
        "statistics", "Phase 7: effect sizes, intervals and power.", _PHASE_7, "results"
    ),
    "run_phase8_circuits": Command(
        "circuits", "Phase 8: circuits, roles of heads, and changes of circuits.",
        (_device(*_DEVICES),),
    ),
}  # fmt: skip
