"""What options become, without a run: parameters, namespaces, or a message."""

import importlib
from pathlib import Path
from typing import get_args

import pytest
from kedro.framework.session import KedroSession

from emotion_circuits.errors import InputError
from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.interventions import generate_with_patching, generate_with_patching_batch
from emotion_circuits.language_models import device
from emotion_circuits.older_commands.commands import COMMANDS
from emotion_circuits.older_commands.running import parser_of, translate
from emotion_circuits.pipelines.statistics.settings import FamilyColumn, PhaseName

COMMON = "--profile --model --device"
# Every option of the older commands; the values are their defaults.
OPTIONS = {
    "build_dataset": "--profile --input --output --text-field --label-field --emotions "
    "--prefer-prompts",
    "run_phase2_activations": f"{COMMON} --layers --hook-pos --max-samples-per-emotion "
    "--batch-size=16",
    "run_phase3_vectors": f"{COMMON} --n-components --use-torch --activations",
    "run_phase4_alignment": f"{COMMON} --model-a --model-b --k-max=8 --subspace-dir --use-torch",
    "run_phase5_residual_patching": f"{COMMON} --layers --patch-window=3 --sequence-length=30 "
    "--alpha=1.0 --max-samples-per-emotion=8 --batch-size=8 --random-control --num-random=3",
    "run_phase6_head_screening": f"{COMMON} --layers --max-samples=8 --sequence-length=20 "
    "--batch-size=8",
    "run_phase6_head_patching": f"{COMMON} --heads --max-samples=8 --sequence-length=20 "
    "--batch-size=8",
    "run_phase7_statistics": f"{COMMON} --mode --phase-filter --output-dir --n-bootstrap=2000 "
    "--alpha=0.05 --seed --n-jobs=1 --correction-cols --power-target=0.8 "
    "--effect-targets=(0.2,0.3,0.5) --head-metrics-device --disable-transformer-metrics",
    "run_phase8_circuits": COMMON,
}


def translated(project, name, *arguments, profile="baseline_smoke"):
    words = ["--profile", profile, *map(str, arguments)]
    return translate(COMMANDS[name], parser_of(name).parse_args(words), project)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_has_its_name_and_default(name):
    actions = {
        flag: action for action in parser_of(name)._actions for flag in action.option_strings
    }
    for word in OPTIONS[name].split():
        flag, _, default = word.partition("=")
        assert flag in actions
        if default:
            assert repr(actions[flag].default).replace(" ", "") == default
    own = {flag.partition("=")[0] for flag in OPTIONS[name].split()}
    assert set(actions) - own <= {"-h", "--help", "--params", "--no-use-torch"}
    assert parser_of(name).parse_args([]).profile == "baseline"


@pytest.mark.parametrize("name", OPTIONS)
def test_a_module_of_this_name_is_there(in_project, name):
    folder = "data" if name == "build_dataset" else "analysis"
    assert callable(importlib.import_module(f"src.{folder}.{name}").main)


@pytest.mark.parametrize(
    ("name", "profile"),
    [*((name, "baseline") for name in OPTIONS), ("run_phase3_vectors", "baseline_smoke")],
)
def test_defaults_are_valid_parameters(in_project, name, profile):
    _, parameters = translated(in_project, name, profile=profile)
    with KedroSession.create(in_project, env=profile, runtime_params=parameters) as session:
        assert session.load_context().params["profile"] == profile


def test_gpt2_means_gpt2_small(in_project):
    namespaces, _ = translated(
        in_project, "run_phase2_activations", "--model", "gpt2", profile="baseline"
    )
    assert namespaces == ["gpt2_small"]
    _, parameters = translated(
        in_project, "run_phase7_statistics", "--model", "gpt2", profile="baseline"
    )
    assert parameters["statistics"]["models"] == ["gpt2_small"]
    namespaces, _ = translated(
        in_project, "run_phase4_alignment", "--model-a", "gpt2", profile="baseline"
    )
    assert namespaces == ["gpt2_small_vs_pythia-160m", "gpt2_small_vs_gpt-neo-125m"]
    with pytest.raises(InputError, match="model 'gpt2' is not in profile 'baseline_smoke'"):
        translated(in_project, "run_phase2_activations", "--model", "gpt2")


def test_pairs_are_those_with_the_models(in_project):
    def pairs(*arguments):
        return translated(in_project, "run_phase4_alignment", *arguments, profile="baseline")[0]

    assert pairs() is None
    assert pairs("--model", "pythia-160m") == [
        "gpt2_small_vs_pythia-160m",
        "pythia-160m_vs_gpt-neo-125m",
    ]
    assert pairs("--model-b", "gpt-neo-125m", "--model-a", "pythia-160m") == [
        "pythia-160m_vs_gpt-neo-125m"
    ]
    with pytest.raises(
        InputError, match=r"no pair with first model pythia.* known: gpt2_small and"
    ):
        pairs("--model-a", "pythia-160m", "--model-b", "gpt2_small")


def test_switches_and_conversions(in_project):
    def parameters(name, *arguments):
        return translated(in_project, name, *arguments)[1]

    assert parameters("run_phase3_vectors")["emotion_vectors"] == {
        "n_components": 2,  # the profile's own, which is smaller than 8
        "backend": "torch",
    }
    assert parameters("run_phase4_alignment", "--no-use-torch")["alignment"]["backend"] == "numpy"
    only = parameters("run_phase2_activations", "--hook-pos", "resid_pre", "--device", "cpu")
    assert only["activations"]["hook_points"] == ["resid_pre"]
    assert only["activations"]["device"] == only["circuits"]["device"] == "cpu"
    steering = parameters("run_phase5_residual_patching", "--num-random", 7)["residual_patching"]
    assert [steering[f"num_{k}"] for k in ("random", "covariance", "shuffled")] == [0, 0, 0]
    assert steering["alphas"] == [1.0]
    assert "layers" not in steering
    last = parameters("run_phase7_statistics", "--n-jobs", -1, "--params", "statistics.n_jobs=2")
    assert last["statistics"]["n_jobs"] == 2
    full = translated(in_project, "run_phase3_vectors", profile="baseline")[1]
    assert full["emotion_vectors"]["n_components"] == 8


WRONG = [
    ("run_phase2_activations", "--hook-pos resid_mid", "--hook-pos: invalid choice: 'resid_mid'"),
    ("run_phase2_activations", "--batch-size 0", "--batch-size: invalid positive_int value: '0'"),
    ("run_phase2_activations", "--layers 0 x", "--layers: invalid whole_number value: 'x'"),
    ("run_phase2_activations", "--layers -1", "--layers: invalid whole_number value: '-1'"),
    ("run_phase2_activations", "--device gpu0", "--device: invalid device value: 'gpu0'"),
    ("run_phase5_residual_patching", "--alpha inf", "--alpha: invalid strength value: 'inf'"),
    ("run_phase5_residual_patching", "--patch-window 1.5", "invalid positive_int value: '1.5'"),
    ("run_phase6_head_patching", "--heads 0:0 1-3", "--heads: invalid head value: '1-3'"),
    ("run_phase7_statistics", "--mode effects", "--mode: invalid choice: 'effects'"),
    ("run_phase7_statistics", "--phase-filter heads", "--phase-filter: invalid choice: 'heads'"),
    ("run_phase7_statistics", "--correction-cols model", "invalid choice: 'model'"),
    ("run_phase7_statistics", "--alpha 5", "--alpha: invalid share value: '5'"),
    ("run_phase7_statistics", "--n-jobs 0", "--n-jobs: invalid number_of_threads value: '0'"),
    ("run_phase7_statistics", "--effect-targets 0", "invalid positive_number value: '0'"),
    ("run_phase8_circuits", "--layers 1", "unrecognized arguments: --layers 1"),
    ("build_dataset", "--params seed", "--params: invalid _assignment value: 'seed'"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), WRONG)
def test_a_wrong_value_gives_argparses_message(in_project, capsys, name, arguments, message):
    folder = "data" if name == "build_dataset" else "analysis"
    with pytest.raises(SystemExit) as stopped:
        importlib.import_module(f"src.{folder}.{name}").main(arguments.split())
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


UNFIT = [
    ("run_phase2_activations", "--model tiny_gpt", "model 'tiny_gpt' is not in profile"),
    ("run_phase2_activations", "--profile smoke", "profile 'smoke' is not in folder 'conf'"),
    ("run_phase3_vectors", "--activations nowhere.pkl", "there is no file 'nowhere.pkl'"),
    ("run_phase3_vectors", "--activations README.md", "--activations is one file, 'README.md'"),
    ("run_phase4_alignment", "--subspace-dir docs", "there is no file 'docs/tiny_gpt2_subspaces"),
    ("run_phase7_statistics", "--n-bootstrap 5", "n_bootstrap is 5"),
    ("run_phase7_statistics", "--params statistic.seed=1", "parameter 'statistic' is unknown"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), UNFIT)
def test_what_does_not_fit_the_profile_is_one_line(in_project, capsys, name, arguments, message):
    words = ["--profile", "baseline_smoke", *arguments.split()]
    with pytest.raises(SystemExit) as stopped:
        importlib.import_module(f"src.analysis.{name}").main(words)
    assert stopped.value.code == 1
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("Error"))
    assert message in line


def test_choices_are_those_of_the_parameters():
    choices = {option.name: option.choices for option in COMMANDS["run_phase7_statistics"].options}
    assert choices["correction_cols"] == get_args(FamilyColumn)
    assert choices["phase_filter"] == get_args(PhaseName)


def test_a_file_of_activations_is_read_for_one_model_and_a_folder_for_all(in_project, tmp_path):
    for model in ("tiny_gpt2", "tiny_llama"):
        (tmp_path / f"{model}.pkl").touch()
    _, parameters = translated(in_project, "run_phase3_vectors", "--activations", tmp_path)
    assert parameters["activations_file"] == f"{tmp_path}/{{model}}.pkl"
    one = tmp_path / "tiny_llama.pkl"
    words = ("--activations", one, "--model", "tiny_llama")
    _, parameters = translated(in_project, "run_phase3_vectors", *words)
    assert parameters["activations_file"] == str(one)


def test_older_modules_hold_the_same_objects(in_project):
    older = importlib.import_module("src.utils.device")
    for name in ("get_default_device", "get_default_device_str", "move_to_device"):
        assert getattr(older, name) is getattr(device, name)
    assert importlib.import_module("src.analysis.evaluation").TextEvaluator is TextEvaluator
    patching = importlib.import_module("src.models.activation_patching")
    assert patching.generate_with_patching is generate_with_patching
    assert patching.generate_with_patching_batch is generate_with_patching_batch


def test_the_documentation_lists_every_option_with_its_parameters(project_root):
    page = (project_root / "docs" / "older_commands.md").read_text()
    sections = {part.partition("`")[0]: part for part in page.split("\n## `")[1:]}
    for name, command in COMMANDS.items():
        section = sections[name]
        for option in command.options:
            (line,) = (x for x in section.splitlines() if x.startswith(f"| `{option.flag}"))
            shown = option.parameters if option.flag != "--device" else option.parameters[:1]
            for parameter in shown:
                assert parameter.split(".")[1] in line


def test_top_level_packages_of_src_are_not_installed(project_root):
    folders = {path.name for path in (project_root / "src").iterdir() if path.is_dir()}
    folders -= {"emotion_circuits", "emotion_circuits.egg-info", "__pycache__"}
    assert folders == {"analysis", "data", "models", "utils"}
    # Without __init__.py they stand behind any installed package of their name.
    assert not list(Path(project_root / "src").glob("[!e]*/__init__.py"))
