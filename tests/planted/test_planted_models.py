"""Each planted part does what planted.json says, by hooks in plain PyTorch."""

import numpy as np
import pytest
import torch

from emotion_circuits.circuits import Graph
from emotion_circuits.errors import InputError
from emotion_circuits.language_models import ModelSpec, load_language_model
from emotion_circuits.planted import PlantedShape, PlantedTruth, build_planted
from emotion_circuits.prompts import EmotionSet
from plain_ablation import encode, last_streams, reaction_odds, texts_of

# Nats of log odds: a necessary part moves them by about 12, noise by a few tenths, and one of two
# redundant heads by about 1, because the norms divide by less without what it writes.
LARGE, SMALL = 4.0, 1.5


def test_emotional_texts_are_continued_with_their_own_reactions(planted):
    truth = planted.truth
    for emotion in truth.emotions:
        assert reaction_odds(planted, emotion) > 1
        for other in truth.emotions:
            if other != emotion:
                assert reaction_odds(planted, emotion, other) < -2
        assert reaction_odds(planted, truth.neutral, emotion) < -2


def test_loss_of_each_node_does_what_is_claimed(planted):
    truth = planted.truth
    before = {emotion: reaction_odds(planted, emotion) for emotion in truth.emotions}
    for node in truth.nodes:
        for emotion in truth.emotions:
            change = reaction_odds(planted, emotion, without=[node.node]) - before[emotion]
            if emotion not in node.emotions or node.ablation == "none":
                assert abs(change) < SMALL, (node, emotion)
            elif node.ablation == "lowers":
                assert change < -LARGE, (node, emotion)
            else:
                assert change > 1, (node, emotion)


def test_redundant_nodes_matter_together_only(planted):
    assert planted.truth.redundant
    for group in planted.truth.redundant:
        before = reaction_odds(planted, group.emotion)
        assert before - reaction_odds(planted, group.emotion, without=group.nodes) > LARGE
        for name in group.nodes:
            assert abs(before - reaction_odds(planted, group.emotion, without=[name])) < SMALL


def test_nodes_that_are_not_listed_do_nothing(planted):
    truth = planted.truth
    listed = {node.node for node in truth.nodes}
    graph = Graph(truth.n_layers, truth.n_heads)
    others = [str(n) for n in graph.nodes() if n.kind in ("head", "mlp") and str(n) not in listed]
    before = reaction_odds(planted, "anger")
    for name in others:
        assert abs(reaction_odds(planted, "anger", without=[name]) - before) < SMALL, name


def _cue_attention(planted, label):
    """Smallest and mean attention to the cue from later positions, by head."""
    planted.model.set_attn_implementation("eager")
    smallest, mean = [], []
    for text in texts_of(planted, label)[:6]:
        cue = next(i for i, word in enumerate(text.split(), start=1) if word.startswith("cue_"))
        with torch.no_grad():
            patterns = planted.model(encode(planted, text), output_attentions=True).attentions
        mass = torch.stack(patterns)[:, 0, :, cue + 1 :, cue]
        smallest.append(mass.amin(-1))
        mean.append(mass.mean(-1))
    return torch.stack(smallest).amin(0), torch.stack(mean).mean(0)


def test_heads_attend_to_cues_as_claimed(planted):
    truth = planted.truth
    claimed = {
        name: {node.node for node in truth.nodes if node.attends_to_cue and
               (name in node.emotions or node.role == "decoy")}
        for name in truth.emotions
    } | {truth.neutral: set()}  # fmt: skip
    for label, attending in claimed.items():
        smallest, mean = _cue_attention(planted, label)
        for layer, head in np.ndindex(*mean.shape):
            if f"a{layer}.h{head}" in attending:
                assert smallest[layer, head] > 0.99
            else:
                assert mean[layer, head] < 0.5


def test_directions_are_the_mean_differences_of_streams(planted):
    truth = planted.truth
    neutral, _ = last_streams(planted, texts_of(planted, truth.neutral))
    for emotion in truth.emotions:
        emotional, _ = last_streams(planted, texts_of(planted, emotion))
        difference = (emotional - neutral).mean(0).double().numpy()
        for layer in range(truth.n_layers):
            known = truth.direction(emotion, layer)
            if known is None:
                assert np.linalg.norm(difference[layer]) < 1
            else:
                unit = difference[layer] / np.linalg.norm(difference[layer])
                assert unit @ known > 0.97, (emotion, layer)


def test_norms_divide_all_positions_by_nearly_the_same_number(planted):
    _, norms = last_streams(planted, texts_of(planted, "anger")[:6])
    assert norms.min() / norms.max() > 0.85


def test_nothing_planted_means_none_of_it(unplanted):
    truth = unplanted.truth
    assert not truth.nodes
    assert not truth.directions
    for emotion in truth.emotions:
        odds = reaction_odds(unplanted, emotion, emotion)
        assert odds < -2
        assert abs(odds - reaction_odds(unplanted, truth.neutral, emotion)) < SMALL
        assert _cue_attention(unplanted, emotion)[1].max() < 0.5


def test_a_seed_gives_one_model_and_another_seed_another():
    shape = PlantedShape()
    models = [build_planted(shape, seed=seed) for seed in (0, 0, 1)]
    weights = [next(each.model.parameters()) for each in models]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert models[0].truth == models[1].truth != models[2].truth


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_another_basis_rotates_the_stream_and_changes_nothing_else(architecture):
    shape = PlantedShape(architecture=architecture, n_layers=3)
    plain, turned = (build_planted(shape, seed=0, basis_seed=basis) for basis in (None, 1))
    ids = encode(plain, texts_of(plain, "anger")[0])
    with torch.no_grad():
        assert torch.allclose(plain.model(ids).logits, turned.model(ids).logits, atol=1e-3)
    assert plain.truth.nodes == turned.truth.nodes
    known = [each.truth.direction("anger", 2) for each in (plain, turned)]
    assert abs(known[0] @ known[1]) < 0.5


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_saved_model_loads_as_any_other_with_its_truth(architecture, tmp_path):
    planted = build_planted(PlantedShape(architecture=architecture), seed=0)
    planted.save(tmp_path / "model")
    spec = ModelSpec(name="model", source=str(tmp_path / "model"), device="cpu")
    model = load_language_model(spec)
    text = texts_of(planted, "anger")[0]
    ids = encode(planted, text)
    assert model.encode(text) == ids[0].tolist()
    expected = planted.model(ids).logits
    assert torch.allclose(model.plain_model(ids).logits, expected, atol=1e-5)
    assert PlantedTruth.read(tmp_path / "model") == planted.truth


def test_emotions_are_those_asked_for():
    emotions = EmotionSet(names=("joy", "fear"), neutral="calm")
    planted = build_planted(PlantedShape(), seed=0, emotions=emotions)
    assert planted.truth.emotions == ("joy", "fear")
    assert set(planted.prompts["emotion"]) == {"joy", "fear", "calm"}
    assert reaction_odds(planted, "fear") > 1 > reaction_odds(planted, "joy", "fear")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_layers": 2}, "n_layers is 2"),
        ({"n_kv_heads": 2}, "GPT-2 has 16 times n_heads"),
        ({"architecture": "llama", "n_heads": 10, "n_kv_heads": 2}, "5 query heads share a key"),
        ({"architecture": "llama", "n_kv_heads": 4}, "no multiple of n_kv_heads"),
        ({"architecture": "llama", "d_model": 40}, "the stream has 40 entries"),
    ],
)
def test_impossible_shapes_are_one_line(fields, message):
    with pytest.raises(InputError, match=message):
        PlantedShape(**fields)
