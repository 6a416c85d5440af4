"""The training pipeline at a size that takes seconds: everything is made, judged and saved."""

import pytest
import torch
import yaml
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from emotion_circuits.datasets import ResultJSONDataset
from emotion_circuits.datasets.pretrained_folder import PretrainedFolderDataset
from emotion_circuits.errors import InputError
from emotion_circuits.pipelines.embedded_models.nodes import _train_language_model, write_card
from emotion_circuits.pipelines.embedded_models.pipeline import (
    create_pipeline,
    create_report_pipeline,
    create_seeds_pipeline,
    seed_endings,
)
from emotion_circuits.pipelines.embedded_models.settings import EmbeddedModelSettings
from emotion_circuits.provenance.plan import missing_upstream
from emotion_circuits.training.gate_tables import verdicts

MODELS = ("tiny_gpt2", "tiny_llama", "sentiment", "politeness", "goemotions")
SEEDS = (0, 1)
OTHERS = ("tiny_gpt2_seed_1", "tiny_llama_seed_1")
TRAINING = {"n_texts": 64, "n_epochs": 1, "batch_size": 16, "validate_every": 2}


@pytest.fixture(scope="module")
def micro(project_root):
    settings = yaml.safe_load(
        (project_root / "conf/base/parameters_embedded_models.yml").read_text("utf-8")
    )["embedded_models"]
    shape = {"n_layers": 1, "d_model": 16, "n_heads": 2, "d_mlp": 32}
    settings |= {
        "device": "cpu",
        "vocab_size": 800,
        "n_validation": 32,
        "n_prompts_per_emotion": 3,
        "n_fresh_prompts": 3,
        "n_gate_texts": 24,
        "n_gate_prompts": 12,
        "n_gate_directions": 2,
        "seeds": list(SEEDS),
    }
    for name in ("tiny_gpt2", "tiny_llama", "evaluators"):
        settings[name] |= {"shape": shape, "training": TRAINING}
    return EmbeddedModelSettings.model_validate(settings)


@pytest.fixture(scope="module")
def made(micro, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    catalog = DataCatalog(
        {
            "params:embedded_models": MemoryDataset(micro),
            **{
                f"trained_{name}": PretrainedFolderDataset(
                    filepath=str(folder / name),
                    kind="causal_lm" if "tiny" in name else "sequence_classification",
                )
                for name in (*MODELS, *OTHERS)
            },
            "embedded_prompts": MemoryDataset(),
            "embedded_fresh_prompts": MemoryDataset(),
            # In memory, gates would be released once the card is written.
            **{
                f"gates_{name}": ResultJSONDataset(filepath=str(folder / name / "gates.json"))
                for name in (*MODELS, *OTHERS)
            },
            **{f"{kind}_{name}": MemoryDataset() for kind in ("card", "seeds") for name in MODELS},
        }
    )
    endings = seed_endings({"seeds": list(SEEDS)})
    pipeline = create_seeds_pipeline(endings) + create_pipeline(endings)
    SequentialRunner().run(pipeline, catalog)
    return folder, catalog


@pytest.mark.parametrize("name", MODELS)
def test_saved_folders_load_by_the_auto_classes(made, name):
    folder, catalog = made
    auto = AutoModelForCausalLM if "tiny" in name else AutoModelForSequenceClassification
    model = auto.from_pretrained(folder / name, use_safetensors=True)
    assert len(AutoTokenizer.from_pretrained(folder / name)) == model.config.vocab_size
    record = catalog.load(f"trained_{name}").record
    assert record["curve"]
    assert name in catalog.load(f"card_{name}")
    assert catalog.load(f"gates_{name}")


def test_an_untrained_model_does_not_pass_its_gates(made):
    # The gates must be able to fail: after a few steps nothing is expressed yet.
    _, catalog = made
    expressed = catalog.load("gates_tiny_gpt2")["expressed_emotion"]
    shares = [cell["share"] for cell in expressed.values()]
    assert min(shares) < 0.8


def test_prompts_are_drawn_for_every_label(made):
    _, catalog = made
    prompts = catalog.load("embedded_prompts")
    assert prompts["emotion"].value_counts().to_dict() == dict.fromkeys(
        ("gratitude", "anger", "apology", "neutral"), 3
    )


def test_fresh_prompts_are_neutral_and_none_of_the_datasets(made):
    _, catalog = made
    fresh = catalog.load("embedded_fresh_prompts")
    assert fresh["emotion"].tolist() == ["neutral"] * 3
    assert not set(fresh["text"]) & set(catalog.load("embedded_prompts")["text"])


@pytest.mark.parametrize("name", ["tiny_gpt2", "tiny_llama"])
def test_another_seed_gives_other_weights_of_the_same_model(made, micro, name):
    _, catalog = made
    ours, other = (catalog.load(f"trained_{each}") for each in (name, f"{name}_seed_1"))
    assert (ours.record["seed"], other.record["seed"]) == SEEDS
    assert ours.record["settings"] == other.record["settings"]
    assert ours.tokenizer.get_vocab() == other.tokenizer.get_vocab()
    states = ours.model.state_dict(), other.model.state_dict()
    assert {key: value.shape for key, value in states[0].items()} == {
        key: value.shape for key, value in states[1].items()
    }
    matrices = [key for key, value in states[0].items() if value.dim() == 2]
    assert not any(torch.equal(states[0][key], states[1][key]) for key in matrices)
    # The control: the same seed gives the same weights.
    plan = getattr(micro, name).model_copy(update={"seed": 1})
    again = _train_language_model(name, micro.model_copy(update={name: plan}))
    for key, value in again.model.state_dict().items():
        torch.testing.assert_close(value, states[1][key], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["tiny_gpt2", "tiny_llama"])
def test_a_card_says_what_holds_for_each_seed(made, name):
    _, catalog = made
    table, card = catalog.load(f"seeds_{name}"), catalog.load(f"card_{name}")
    assert table["seeds"] == list(SEEDS)
    assert "## Other seeds" in card
    measured = {0: catalog.load(f"gates_{name}"), 1: catalog.load(f"gates_{name}_seed_1")}
    for seed, gates in measured.items():
        for line, verdict in zip(table["gates"], verdicts(gates), strict=True):
            assert line["name"] == verdict.gate
            assert line["values"][str(seed)] == verdict.value
            assert line["holds"][str(seed)] == verdict.reached
            assert f"| {verdict.gate} |" in card
    # Models of one seed are compared with each other.
    other = "tiny_llama" if name == "tiny_gpt2" else "tiny_gpt2"
    assert measured[1]["overlap"]["other"] == other
    assert measured[1]["overlap"]["rows"] != measured[0]["overlap"]["rows"]


def test_with_its_own_seed_alone_a_card_says_nothing_of_others(made):
    _, catalog = made
    table, card = write_card(catalog.load("trained_tiny_gpt2"), catalog.load("gates_tiny_gpt2"))
    assert table["seeds"] == [0]
    assert "Other seeds" not in card


def test_a_model_of_other_settings_is_no_other_seed(made):
    _, catalog = made
    trained, gates = catalog.load("trained_tiny_gpt2"), catalog.load("gates_tiny_gpt2")
    other = catalog.load("trained_tiny_gpt2_seed_1")
    given = {"gates_1": gates, "trained_1": other}
    write_card(trained, gates, **given)
    older = {**other.record, "settings": dict(other.record["settings"])}
    del older["settings"]["keep"]  # recorded since there is a choice
    write_card(trained, gates, **(given | {"trained_1": other._replace(record=older)}))
    for part, change in {
        "training settings": {"settings": other.record["settings"] | {"patience": 99}},
        "corpus seed": {"corpus_seed": 2},
        "seed": {"seed": 3},
    }.items():
        spoiled = given | {"trained_1": other._replace(record=other.record | change)}
        with pytest.raises(InputError, match=rf"of seed 1 differs .* in its {part}; delete"):
            write_card(trained, gates, **spoiled)
    llama = catalog.load("trained_tiny_llama")._replace(record=other.record)
    with pytest.raises(InputError, match="in its shape"):
        write_card(trained, gates, **(given | {"trained_1": llama}))


@pytest.mark.parametrize(
    ("seeds", "line"),
    [
        ([1, 2], r"seeds is \[1, 2\]: it needs 0, the seed of the included tiny_gpt2"),
        ([0, 0], r"seeds is \[0, 0\]: the same value stands twice"),
        ([], r"seeds is \[\]"),
        ([0, -1], r"seeds.1 is -1"),
    ],
)
def test_impossible_seeds_are_one_line(micro, seeds, line):
    raw = micro.model_dump() | {"seeds": seeds}
    with pytest.raises(InputError, match=line) as caught:
        EmbeddedModelSettings.model_validate(raw)
    assert "\n" not in str(caught.value)


def test_pipelines_have_a_node_per_further_seed():
    parameters = {"seeds": [0, 1, 2], "tiny_llama": {"seed": 1}}
    endings = seed_endings(parameters)
    assert endings["tiny_gpt2"] == {0: "", 1: "_seed_1", 2: "_seed_2"}
    assert endings["tiny_llama"] == {1: "", 0: "_seed_0", 2: "_seed_2"}
    assert sorted(node.name for node in create_seeds_pipeline(endings).nodes) == [
        *("train_tiny_gpt2_seed_1", "train_tiny_gpt2_seed_2"),
        *("train_tiny_llama_seed_0", "train_tiny_llama_seed_2"),
    ]
    judges = {node.name: node.inputs for node in create_report_pipeline(endings).nodes}
    assert judges["judge_tiny_gpt2_seed_1"][:2] == [
        "trained_tiny_gpt2_seed_1",
        "trained_tiny_llama",
    ]
    assert judges["judge_tiny_llama_seed_0"][:2] == [
        "trained_tiny_llama_seed_0",
        "trained_tiny_gpt2",
    ]
    assert judges["judge_tiny_gpt2_seed_2"][1] == "trained_tiny_llama_seed_2"
    for broken in ({}, {"seeds": None}, {"seeds": "x"}):
        assert not create_seeds_pipeline(seed_endings(broken)).nodes


def test_a_run_that_was_interrupted_keeps_the_seeds_that_are_trained(made, tmp_path):
    folder, _ = made
    endings = seed_endings({"seeds": list(SEEDS)})

    def still_to_train(*unfinished):
        catalog = DataCatalog(
            {
                f"trained_{name}": PretrainedFolderDataset(
                    filepath=str((tmp_path if name in unfinished else folder) / name),
                    kind="causal_lm" if "tiny" in name else "sequence_classification",
                )
                for name in (*MODELS, *OTHERS)
            }
        )
        report, seeds = create_report_pipeline(endings), create_seeds_pipeline(endings)
        return [node.name for node in missing_upstream(report, seeds, catalog)]

    assert still_to_train() == []
    assert still_to_train("tiny_llama_seed_1") == ["train_tiny_llama_seed_1"]
    assert sorted(still_to_train(*OTHERS)) == [f"train_{name}" for name in OTHERS]
