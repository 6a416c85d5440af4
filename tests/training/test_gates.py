"""The gates' own instruments against recomputation, and controls."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch

from emotion_circuits.embedded_world import WorldSettings, emotion_prompts
from emotion_circuits.embedded_world.emotions import EMOTIONS
from emotion_circuits.geometry.overlaps import Overlaps
from emotion_circuits.interventions import Add, steer
from emotion_circuits.training.architectures import Shape, build_evaluator, build_gpt2, build_llama
from emotion_circuits.training.gate_tables import _heads, _summary, verdicts
from emotion_circuits.training.gates import heads
from emotion_circuits.training.gates.continuations import (
    AS_IT_IS,
    MAX_NEW_TOKENS,
    as_evaluator,
    continue_greedily,
    with_hook_points,
)
from emotion_circuits.training.gates.expressed import _losses
from emotion_circuits.training.gates.overlap import rate_overlaps
from emotion_circuits.training.gates.pooling import pool_prompts
from emotion_circuits.training.seed_tables import seed_section, seed_table
from emotion_circuits.training.tokenizers import train_tokenizer
from emotion_circuits.training.trained import Trained

PROMPTS = ["Dana broke my lamp.\n", "I saw a lamp.\n", "Dana broke my lamp. I went home.\n"]
SHAPE = Shape(n_layers=3, d_model=16, n_heads=4, n_kv_heads=2, d_mlp=32)


def enlarged(model):
    """Weights large enough for different texts."""
    torch.manual_seed(0)
    for weight in model.parameters():
        weight.data += 0.2 * torch.randn_like(weight)
    return model.eval()


@pytest.fixture(scope="module", params=[build_gpt2, build_llama], ids=["gpt2", "llama"])
def trained(request):
    tokenizer = train_tokenizer(PROMPTS, vocab_size=290)
    return Trained(enlarged(request.param(SHAPE, tokenizer, 0)), tokenizer, {"name": "micro"})


@pytest.fixture(scope="module")
def model(trained):
    return with_hook_points(Trained(copy.deepcopy(trained.model), *trained[1:]))


@pytest.fixture(scope="module")
def goemotions():
    tokenizer = train_tokenizer(PROMPTS, vocab_size=290, add_bos=True, add_eos=True)
    evaluator = build_evaluator("goemotions", SHAPE, tokenizer, 0.0, 0)
    return Trained(enlarged(evaluator), tokenizer, {"name": "goemotions"})


@pytest.fixture(scope="module")
def reader(goemotions):
    return as_evaluator(goemotions)


def ids_of(trained, prompt):
    return [
        trained.tokenizer.bos_token_id,
        *trained.tokenizer.encode(prompt, add_special_tokens=False),
    ]


def blocks_of(model):
    return model.transformer.h if model.config.model_type == "gpt2" else model.model.layers


@torch.no_grad()
def recomputed(trained, prompt, change):
    """Continue without any cache: the whole sequence is read anew for each token."""
    ids, losses = ids_of(trained, prompt), []
    n_prompt = len(ids)
    for _ in range(MAX_NEW_TOKENS):
        handle = change(n_prompt)
        token = trained.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax().item()
        handle.remove()
        plain = trained.model(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        losses.append(-plain[token].item())
        ids.append(token)
        if token == trained.tokenizer.eos_token_id:
            break
    return trained.tokenizer.decode(ids[n_prompt:], skip_special_tokens=True), np.mean(losses)


@pytest.mark.parametrize("layer", [0, 2])
def test_steering_is_recomputation_without_a_cache(trained, model, reader, layer):
    torch.manual_seed(1)
    vector = torch.randn(SHAPE.d_model)

    def change(n_prompt):
        def hook(_module, _args, output):
            stream = (output[0] if isinstance(output, tuple) else output).clone()
            stream[:, n_prompt - 1 :] += 2 * vector
            return (stream, *output[1:]) if isinstance(output, tuple) else stream

        return blocks_of(trained.model)[layer].register_forward_hook(hook)

    steered = steer("steered", Add(vector), layer, alpha=2.0)
    conditions = [AS_IT_IS, (steered, {"kind": "emotion"})]
    outcomes = continue_greedily(model, reader, PROMPTS, conditions)
    said = outcomes.where(kind="emotion").table.set_index("prompt")
    for prompt in PROMPTS:
        text, nll = recomputed(trained, prompt, change)
        assert said.loc[prompt, "text"] == text
        assert said.loc[prompt, "fluency"] == pytest.approx(nll, abs=1e-4)
    assert said["text"].tolist() != outcomes.baseline.table["text"].tolist()


@torch.no_grad()
def read_alone(goemotions, text):
    """What the classifier says of a text, which it reads without the blanks around it."""
    ids = goemotions.tokenizer(text.strip(), return_tensors="pt").input_ids
    return goemotions.model(input_ids=ids).logits[0].sigmoid()


def test_scores_belong_to_their_texts(model, goemotions, reader):
    vector = Add(torch.ones(SHAPE.d_model))
    steered = [(steer(str(n), vector, n), {"kind": "emotion", "layer": n}) for n in range(3)]
    outcomes = continue_greedily(model, reader, PROMPTS, [AS_IT_IS, *steered])
    assert len(outcomes) == len(PROMPTS) * 4
    texts = outcomes.table["text"]
    assert texts.nunique() > 1
    for text, scores in zip(texts, outcomes.values(reader.keys), strict=True):
        np.testing.assert_allclose(scores, read_alone(goemotions, text), atol=1e-5)


def test_a_heads_change_and_cost_are_those_of_zeroing_its_part_of_the_prompt(
    trained, model, goemotions, reader
):
    """Against a hook on the output projection, with a column of labels for each prompt."""
    own = [f"goemotions/{label}" for label in ("anger", "gratitude", "remorse")]
    columns = [reader.keys.index(key) for key in own]
    changes, losses, _ = heads._ablate_each(model, reader, PROMPTS, own)
    outcomes = continue_greedily(model, reader, PROMPTS)
    base, fluency = outcomes.values(reader.keys), outcomes.table["fluency"]
    width = SHAPE.d_model // SHAPE.n_heads
    for layer, head in ((0, 1), (2, 3)):
        block = blocks_of(trained.model)[layer]
        gpt2 = trained.model.config.model_type == "gpt2"
        projection = block.attn.c_proj if gpt2 else block.self_attn.o_proj

        def change(n_prompt, projection=projection, head=head):
            def hook(_module, args):
                z = args[0].clone()
                z[:, :n_prompt, head * width : (head + 1) * width] = 0
                return (z, *args[1:])

            return projection.register_forward_pre_hook(hook)

        for row, prompt in enumerate(PROMPTS):
            text, nll = recomputed(trained, prompt, change)
            score = float(read_alone(goemotions, text)[columns[row]])
            found = changes[layer * SHAPE.n_heads + head, row]
            assert found == pytest.approx(score - base[row, columns[row]], abs=1e-5)
            loss = losses[layer * SHAPE.n_heads + head, row]
            assert loss == pytest.approx(nll - fluency[row], abs=1e-4)
    assert np.abs(changes).max() > 0


@pytest.mark.parametrize("seed", range(4))
def test_the_head_is_chosen_and_measured_on_other_templates(seed):
    prompts = emotion_prompts(WorldSettings(), split="test", n_per_emotion=110, seed=seed)
    prompts = prompts[prompts["emotion"].isin(EMOTIONS) & ~prompts["explicit"]]
    choosing, clusters = heads.halve_prompts(prompts, seed)
    templates = prompts["template_id"].to_numpy()
    assert set(clusters) == set(templates)
    assert not set(templates[choosing]) & set(templates[~choosing])
    labels = prompts["emotion"].to_numpy()
    for emotion in EMOTIONS:
        assert 0.44 <= choosing[labels == emotion].mean() <= 0.56


@torch.no_grad()
def test_the_reference_cost_is_that_of_the_reaction_to_the_other_prompt(trained, model, reader):
    """Token by token, after a prompt; nothing if both prompts are one."""
    prompts, neutral = [PROMPTS[0], PROMPTS[2], PROMPTS[1]], [PROMPTS[1]] * 3
    outcomes = continue_greedily(model, reader, prompts)
    reactions = outcomes.table["token_ids"].tolist()
    other, reactions[0] = reactions[2], (40, 41, 42)  # micro models say the same after any prompt
    found = heads.reference_costs(model, reader, prompts, reactions, neutral)
    for row, prompt in enumerate(prompts):
        nll = []
        for said in (other, reactions[row]):
            ids, losses = ids_of(trained, prompt), []
            for token in said:
                logits = trained.model(input_ids=torch.tensor([ids])).logits[0, -1]
                losses.append(-float(logits.log_softmax(-1)[token]))
                ids.append(token)
            nll.append(np.mean(losses))
        assert found[row] == pytest.approx(nll[0] - nll[1], abs=1e-4)
    assert found[0] != 0
    assert found[2] == 0


def test_a_card_gives_the_cost_of_the_ablation_beside_its_effect():
    found = {"layer": 1, "head": 2, "n_prompts": 5, "change": 0.3, "median": 0.01}
    found |= {"ratio": cell(30.0), "changes": [[0.1, 0.2], [0.3, 0.0]]}
    said = _heads(found | {"cost": cell(0.25), "cost_reference": cell(1.5)})
    assert "Its ablation costs 0.250 [0.250, 0.250] nats per token" in said
    assert "neutral situation of the set costs 1.500 [1.500, 1.500] there" in said


@torch.no_grad()
def test_streams_are_averaged_without_the_first_token(trained, model):
    prompts = pd.DataFrame({"text": PROMPTS, "emotion": "neutral", "pair_id": PROMPTS})
    found = pool_prompts(model, prompts).values
    for row, prompt in enumerate(PROMPTS):
        ids = torch.tensor([ids_of(trained, prompt)])
        out = trained.model(input_ids=ids, output_hidden_states=True)
        # The last of transformers' hidden states is normalised already, so all but that one.
        for layer, hidden in enumerate(out.hidden_states[1:-1]):
            wanted = hidden[0, 1:].double().mean(0).numpy()
            np.testing.assert_allclose(found[row, layer], wanted, atol=1e-5)


@torch.no_grad()
def test_losses_are_those_of_the_reaction_and_the_end(trained, model):
    texts = pd.DataFrame(
        {"situation": ["Dana broke my lamp.", "I saw a lamp."], "reaction": ["I saw.", "Dana, my"]}
    )
    found = _losses(model, texts)
    for row, (situation, reaction) in enumerate(texts.itertuples(index=False)):
        prompt = ids_of(trained, situation)
        after = [*ids_of(trained, "\n" + reaction)[1:], trained.tokenizer.eos_token_id]
        logits = trained.model(input_ids=torch.tensor([prompt + after])).logits[0].log_softmax(-1)
        wanted = -sum(logits[len(prompt) - 1 + place, token] for place, token in enumerate(after))
        np.testing.assert_allclose(found[row], [wanted, len(after)], rtol=1e-5)


def test_the_model_that_was_trained_gets_no_hook_points(trained):
    before = {name: type(module) for name, module in trained.model.named_modules()}
    with_hook_points(trained)
    assert {name: type(module) for name, module in trained.model.named_modules()} == before


def cell(value):
    return {"value": value, "ci_lower": value, "ci_upper": value}


def gates(**changes):
    values = {"share": 0.9, "ratio": 1.0, "d": 1.0, "cost": 0.2, "below": 1.0, "heads": 9.0}
    values |= {"auroc": 0.99, "bag": 0.6, "p": 0.01, "p_steering": 0.01}
    values |= {"off_diagonal": 0.1} | changes
    emotions = ("gratitude", "anger", "apology")
    labels = ("gratitude", "anger", "remorse")
    effect = {
        "d": cell(values["d"]),
        "cost": cell(values["cost"]),
        "random_below_half": values["below"],
    }
    return {
        "expressed_emotion": {
            name: {"share": values["share"], "ci_lower": values["share"] - 0.05}
            for name in (*emotions, "neutral")
        },
        "perplexity": {
            "ratio": values["ratio"],
            "ratio_ci_lower": values["ratio"],
            "ratio_ci_upper": values["ratio"],
        },
        "steering": {
            "emotions": dict.fromkeys(emotions, effect),
            "specificity": {
                emotion: {
                    label: 0.5 if emotions.index(emotion) == place else values["off_diagonal"]
                    for place, label in enumerate(labels)
                }
                for emotion in emotions
            },
        },
        "heads": {"ratio": cell(values["heads"])},
        "probes": {
            "contrasts": {
                "anger_vs_apology": {
                    "residual": cell(values["auroc"]),
                    "bag_of_words": cell(values["bag"]),
                }
            }
        },
        "overlap": {
            key: {
                name: {"overlap": 0.5, "null_95": 0.3, "k": values.get("k", 4)}
                | {column: values[p] if name == "anger" else 0.01}
                for name in emotions
            }
            for key, column, p in (
                ("at_steering", "p_value_layer", "p_steering"),
                ("best", "p_value", "p"),
            )
        },
    }


BROKEN = {
    "share": 0.79,
    "ratio": 1.11,
    "d": 0.79,
    "cost": 0.51,
    "below": 0.94,
    "heads": 4.9,
    "auroc": 0.89,
    "bag": 0.76,
    "p": 0.05,
    "p_steering": 0.05,
    "off_diagonal": 0.6,
}


def test_a_card_says_of_each_gate_by_itself_whether_it_is_reached():
    assert all(found.reached for found in verdicts(gates()))
    missed = pd.Series(
        {
            name: [found.gate for found in verdicts(gates(**{name: value})) if not found.reached]
            for name, value in BROKEN.items()
        }
    )
    assert (missed.map(len) == 1).all(), missed
    assert missed.map(lambda found: found[0]).nunique() == len(BROKEN) == len(verdicts(gates()))


def test_overlap_at_too_many_dimensions_does_not_count():
    found = [verdict.gate for verdict in verdicts(gates(k=5)) if not verdict.reached]
    assert len(found) == 2
    assert all("k ≤ 4" in gate for gate in found)
    assert "layer of steering" in found[0], "where the emotion acts comes first"


def test_gates_of_an_earlier_form_have_no_overlap_at_the_layer_of_steering():
    earlier = gates()
    del earlier["overlap"]["at_steering"]
    assert len(verdicts(earlier)) == len(verdicts(gates())) - 1


def test_a_card_says_where_an_interval_does_not_reach_what_the_estimate_reaches():
    given = gates(share=0.82, heads=21.6)
    assert "interval" not in _summary(gates()).split("\n\n")[0]
    given["heads"]["ratio"] |= {"ci_lower": 4.3, "ci_upper": 306.0}
    given["perplexity"]["ratio_ci_upper"] = 1.2
    summary = _summary(given)
    assert "| 21.6 | reached (interval from 4.3) |" in summary
    assert "| 0.820 (gratitude) | reached (interval from 0.770 (gratitude)) |" in summary
    assert "| 1.000 | reached (interval to 1.200) |" in summary
    assert summary.count("(interval") == 3


def test_a_card_says_which_contrasts_a_bag_of_words_tells():
    given = gates()
    assert "A bag of words tells no contrast (AUROC at most 0.600)." in _summary(given)
    given["probes"]["contrasts"]["gratitude_vs_anger"] = {
        "residual": cell(1.0),
        "bag_of_words": cell(1.0),
    }
    said = _summary(given)
    assert "tells 1 of the 2 contrasts by itself (AUROC gratitude vs anger 1.000)" in said


def overlaps_like_their_null(rng, *, n_layers=6, n_k=4, n_shuffles=100, shift=0.0):
    """Overlaps that are one more draw of their null; layers and ks go together a little."""
    found = {}
    common = rng.normal(size=(len(EMOTIONS), n_shuffles + 1, 1))
    for layer in range(n_layers):
        draws = 0.3 * common + rng.normal(size=(len(EMOTIONS), n_shuffles + 1, n_k))
        draws = 0.2 + 0.02 * draws
        found[layer, layer] = {
            emotion: Overlaps(
                after=draws[place, 0] + shift,
                null=draws[place, 1:],
                **dict.fromkeys(set(Overlaps._fields) - {"after", "null"}, np.full(n_k, np.nan)),
            )
            for place, emotion in enumerate(EMOTIONS)
        }
    return found


@pytest.mark.slow
def test_the_best_of_many_layers_and_ks_passes_a_null_at_the_stated_rate():
    rng = np.random.default_rng(0)
    corrected, pointwise, chosen = [], [], []
    for _ in range(1000):
        rated = rate_overlaps(overlaps_like_their_null(rng), 4)
        chosen += [row["p_value_layer"] < 0.05 for row in rated["at_steering"].values()]
        best = rated["best"].values()
        corrected += [row["p_value"] < 0.05 for row in best]
        pointwise += [row["overlap"] > row["null_95"] for row in best]
    # 3,000 tests at 5 %, give or take three standard deviations of 0.5 % (an emotion's tests go
    # together). Scaled by the null alone, without the observed draw, it was 6.3 %.
    assert 0.035 <= np.mean(corrected) <= 0.06
    assert 0.035 <= np.mean(chosen) <= 0.06
    assert np.mean(pointwise) > 0.4


def test_an_overlap_far_above_its_null_passes():
    found = rate_overlaps(overlaps_like_their_null(np.random.default_rng(0), shift=0.3), 4)
    assert {row["layer"] for row in found["at_steering"].values()} == {4}
    assert [row["p_value"] for row in found["best"].values()] == [round(1 / 101, 4)] * 3
    assert len(found["rows"]) == 3 * 6 * 4
    excess = [row["overlap"] - row["null_95"] for row in found["rows"] if row["emotion"] == "anger"]
    best = found["best"]["anger"]
    assert best["overlap"] - best["null_95"] == max(excess)


def of_a_seed(layer=3, covariance_p=0.048, **changes):
    measured = gates(**changes)
    measured["steering"] |= {"layer": layer, "alpha": 6.0}
    for number, (emotion, effect) in enumerate(measured["steering"]["emotions"].items()):
        p = {"random_p": 0.048, "covariance_p": covariance_p if number == 1 else 0.048}
        measured["steering"]["emotions"][emotion] = effect | p
    measured["heads"] |= {"layer": 1, "head": 2}
    measured["probes"] |= {"layer": 3}
    for line in measured["overlap"]["best"].values():
        line["layer"] = 2
    return measured


def test_a_card_says_what_holds_for_all_seeds_and_what_for_some():
    table = seed_table({0: of_a_seed(), 1: of_a_seed(heads=4.9), 2: of_a_seed(2, covariance_p=0.2)})
    lines = {line["name"]: line for line in (*table["gates"], *table["findings"])}
    missed = {name: line["holds"] for name, line in lines.items() if not line["holds_in_all"]}
    assert list(missed) == [
        "most important head over median head ≥ 5",
        "steering: p among random directions of the activations' covariance ≤ 0.05, each emotion",
    ]
    assert list(missed.values()) == [
        {"0": True, "1": False, "2": True},
        {"0": True, "1": True, "2": False},
    ]
    assert lines[list(missed)[1]]["values"]["2"] == "0.200 (anger)"
    places = {line["name"]: line["same_in_all"] for line in table["places"]}
    assert [name for name, same in places.items() if not same] == ["layer of steering"]
    section = seed_section(table, 0)
    assert f"{len(lines) - 2} of {len(lines)} gates and findings hold in all 3" in section
    assert "| 9.0 | **4.9** | 9.0 | **holds in 2 of 3** |" in section
    assert "| layer of steering | 3 | 3 | 2 | differs |" in section


def test_with_models_alike_everything_holds_for_all_seeds():
    table = seed_table({seed: of_a_seed() for seed in range(3)})
    assert all(line["holds_in_all"] for line in (*table["gates"], *table["findings"]))
    assert all(line["same_in_all"] for line in table["places"])
    assert "**" not in seed_section(table, 0)
