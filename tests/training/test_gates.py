"""The gates' own instruments: hooks against recomputation, statistics against others, controls."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import ttest_rel

from emotion_circuits.training.architectures import Shape, build_gpt2, build_llama
from emotion_circuits.training.gate_tables import verdicts
from emotion_circuits.training.gates.continuations import MAX_NEW_TOKENS, continue_greedily
from emotion_circuits.training.gates.intervals import bootstrap_interval, paired_d
from emotion_circuits.training.gates.overlap import mapped_overlap
from emotion_circuits.training.gates.plain_hooks import (
    added_at_the_end,
    blocks_of,
    encode_prompts,
    mean_streams,
    output_projections_of,
    zeroed_heads,
)
from emotion_circuits.training.tokenizers import train_tokenizer
from emotion_circuits.training.trained import Trained

PROMPTS = ["Dana broke my lamp.\n", "I saw a lamp.\n", "Dana broke my lamp. I went home.\n"]
SHAPE = Shape(n_layers=3, d_model=16, n_heads=4, n_kv_heads=2, d_mlp=32)


@pytest.fixture(scope="module", params=[build_gpt2, build_llama], ids=["gpt2", "llama"])
def trained(request):
    tokenizer = train_tokenizer(PROMPTS, vocab_size=290)
    torch.manual_seed(0)
    model = request.param(SHAPE, tokenizer, 0).eval()
    for weight in model.parameters():  # large enough for different texts
        weight.data += 0.2 * torch.randn_like(weight)
    return Trained(model, tokenizer, {"name": "micro"})


def hooks_on(model):
    return [
        hook
        for module in model.modules()
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    ]


@torch.no_grad()
def recomputed(trained, prompt, layer, vector):
    """Steer without any cache: the whole sequence is read anew for each token."""
    ids = encode_prompts(trained, [prompt])[0]
    first, losses = len(ids) - 1, []

    def hook(_module, _args, output):
        stream = (output[0] if isinstance(output, tuple) else output).clone()
        stream[:, first:] += vector
        return (stream, *output[1:]) if isinstance(output, tuple) else stream

    for _ in range(MAX_NEW_TOKENS):
        handle = blocks_of(trained.model)[layer].register_forward_hook(hook)
        token = trained.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax().item()
        handle.remove()
        plain = trained.model(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        losses.append(-plain[token].item())
        ids.append(token)
        if token == trained.tokenizer.eos_token_id:
            break
    text = trained.tokenizer.decode(ids[first + 1 :], skip_special_tokens=True)
    return text, np.mean(losses)


@pytest.mark.parametrize("layer", [0, 2])
def test_steering_with_the_cache_is_recomputation_without_it(trained, layer):
    torch.manual_seed(1)
    vectors = torch.zeros(len(PROMPTS), SHAPE.n_layers, SHAPE.d_model)
    vectors[:, layer] = torch.randn(len(PROMPTS), SHAPE.d_model)
    steered = continue_greedily(trained, PROMPTS, vectors=vectors)
    for row, prompt in enumerate(PROMPTS):
        text, nll = recomputed(trained, prompt, layer, vectors[row, layer])
        assert steered.texts[row] == text
        assert steered.nll[row] == pytest.approx(nll, abs=1e-4)
    assert steered.texts != continue_greedily(trained, PROMPTS).texts


def test_a_zero_vector_and_no_head_change_nothing(trained):
    plain = continue_greedily(trained, PROMPTS)
    vectors = torch.zeros(len(PROMPTS), SHAPE.n_layers, SHAPE.d_model)
    none = torch.zeros(len(PROMPTS), SHAPE.n_layers, SHAPE.n_heads, dtype=torch.bool)
    same = continue_greedily(trained, PROMPTS, vectors=vectors, silent_heads=none)
    assert same.texts == plain.texts
    assert (same.nll == plain.nll).all()


@torch.no_grad()
@pytest.mark.parametrize(("layer", "head"), [(0, 1), (2, 3)])
def test_zeroing_a_head_is_zeroing_its_part_of_the_output_projection(trained, layer, head):
    ids = torch.tensor([encode_prompts(trained, PROMPTS)[0]])
    silent = torch.zeros(SHAPE.n_layers, 1, SHAPE.n_heads, dtype=torch.bool)
    silent[layer, 0, head] = True
    with zeroed_heads(trained.model, silent):
        hooked = trained.model(input_ids=ids).logits
    cut = copy.deepcopy(trained.model)
    width = SHAPE.d_model // SHAPE.n_heads
    part = slice(head * width, (head + 1) * width)
    weight = output_projections_of(cut)[layer].weight
    if cut.config.model_type == "gpt2":  # Conv1D keeps its weight as [in, out]
        weight[part] = 0
    else:
        weight[:, part] = 0
    torch.testing.assert_close(hooked, cut(input_ids=ids).logits)
    assert not torch.allclose(hooked, trained.model(input_ids=ids).logits)


def test_hooks_are_gone_after_an_exception(trained):
    vectors = torch.ones(SHAPE.n_layers, 1, SHAPE.d_model)
    silent = torch.ones(SHAPE.n_layers, 1, SHAPE.n_heads, dtype=torch.bool)
    for change in (added_at_the_end(trained.model, vectors), zeroed_heads(trained.model, silent)):
        with pytest.raises(RuntimeError, match="stop"), change:
            assert len(hooks_on(trained.model)) == SHAPE.n_layers
            raise RuntimeError("stop")
        assert not hooks_on(trained.model)


@torch.no_grad()
def test_mean_streams_leave_out_the_first_token_and_nothing_else(trained):
    found = mean_streams(trained, PROMPTS)
    assert not hooks_on(trained.model)
    other = copy.deepcopy(trained.model)  # transformers leaves hooks of its own behind
    for row, ids in enumerate(encode_prompts(trained, PROMPTS)):
        out = other(input_ids=torch.tensor([ids]), output_hidden_states=True)
        # The last of transformers' hidden states is normalised already, so all but that one.
        for layer, hidden in enumerate(out.hidden_states[1:-1]):
            wanted = hidden[0, 1:].double().mean(0).numpy()
            np.testing.assert_allclose(found[row, layer], wanted, atol=1e-6)


def test_d_is_the_t_statistic_over_the_root_of_n():
    rng = np.random.default_rng(0)
    after, before = rng.normal(0.5, 1, 40), rng.normal(0, 1, 40)
    wanted = ttest_rel(after, before).statistic / np.sqrt(40)
    assert paired_d(after - before) == pytest.approx(wanted)
    assert paired_d(np.zeros(10)) == 0.0


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        cell = bootstrap_interval(rng.normal(0.3, 1, 60), np.mean, rng)
        covered += cell["ci_lower"] <= 0.3 <= cell["ci_upper"]
    assert 0.90 <= covered / 200 <= 0.98


def test_overlap_of_a_rotated_copy_is_one_and_of_strangers_chance():
    rng = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(rng.normal(size=(24, 24)))
    ours, _ = np.linalg.qr(rng.normal(size=(24, 3)))
    assert mapped_overlap(ours.T, (rotation @ ours).T, rotation) == pytest.approx(1.0)
    strangers = []
    for _ in range(300):
        theirs, _ = np.linalg.qr(rng.normal(size=(24, 3)))
        strangers.append(mapped_overlap(ours.T, theirs.T, rotation))
    assert np.mean(strangers) == pytest.approx(3 / 24, abs=0.01)


def cell(value):
    return {"value": value, "ci_lower": value, "ci_upper": value}


def gates(**changes):
    values = {"share": 0.9, "ratio": 1.0, "d": 1.0, "cost": 0.2, "below": 1.0, "heads": 9.0}
    values |= {"auroc": 0.99, "bag": 0.6, "overlap": 0.5, "off_diagonal": 0.1} | changes
    emotions = ("gratitude", "anger", "apology")
    labels = ("gratitude", "anger", "remorse")
    effect = {
        "d": cell(values["d"]),
        "cost": cell(values["cost"]),
        "random_below_half": values["below"],
    }
    return {
        "expressed_emotion": {name: {"share": values["share"]} for name in (*emotions, "neutral")},
        "perplexity": {"ratio": values["ratio"]},
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
            "best": {name: {"overlap": values["overlap"], "null_95": 0.3} for name in emotions}
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
    "overlap": 0.3,
    "off_diagonal": 0.6,
}


def test_a_card_says_of_each_gate_by_itself_whether_it_is_reached():
    assert all(reached for _, _, reached in verdicts(gates()))
    missed = pd.Series(
        {
            name: [gate for gate, _, reached in verdicts(gates(**{name: value})) if not reached]
            for name, value in BROKEN.items()
        }
    )
    assert (missed.map(len) == 1).all(), missed
    assert missed.map(lambda found: found[0]).nunique() == len(BROKEN) == len(verdicts(gates()))
