"""Composition, copying and the logit lens against whole matrices and TransformerLens."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformer_lens.tools.analysis import logit_readout

from emotion_circuits.circuits.reading import (
    attention_weights,
    chance_score,
    composition_scores,
    copying,
    direction_logits,
    head_values,
    token_streams,
    token_words,
    unembedding,
)
from emotion_circuits.circuits.reading.ov import ov_factors


def layers_of(model):
    return [attention_weights(model, layer) for layer in range(model.n_layers)]


def without_norms(weights):
    nothing = {"norm": None, "q_norm": None, "k_norm": None}
    return replace(weights, **nothing, write_gain=torch.ones_like(weights.write_gain))


@pytest.mark.parametrize("port", ["q", "k", "v"])
def test_scores_of_bare_weights_are_transformer_lens(shaken, port):
    """Without norms, the second implementation is TransformerLens' own."""
    model, _ = shaken
    scores = composition_scores([without_norms(item) for item in layers_of(model)], port)
    wanted = model.bridge.all_composition_scores(port.upper()).scores
    earlier = ~scores.isnan()
    torch.testing.assert_close(scores[earlier], wanted[earlier], atol=1e-5, rtol=1e-3)
    for source in range(model.n_layers):
        assert earlier[source, :, source + 1 :].all()
        assert not earlier[source, :, : source + 1].any()


def test_scores_with_norms_are_those_of_what_changes_queries_and_values(shaken):
    """Whole matrices: a small write into a stream of the source's, read through the norm."""
    model, _ = shaken
    layers = layers_of(model)
    scores = {port: composition_scores(layers, port) for port in ("q", "k", "v")}
    last = model.n_layers - 1
    for source_head, head in ((0, 1), (model.n_heads - 1, 0)):
        first, second = ov_factors(layers[0], source_head)
        written = (first @ second).double()
        item, group = layers[last], layers[last].group(head)
        center = torch.eye(model.d_model).double()
        if isinstance(item.norm, torch.nn.LayerNorm):
            center = center - 1 / model.d_model
        offset = 1.0 if model.name == "gemma3" else 0.0
        scaled = center @ torch.diag(offset + item.norm.weight.double())
        q, k, v = (
            scaled @ part.double() for part in (item.w_q[head], item.w_k[group], item.w_v[group])
        )
        if item.q_norm is not None:
            q = q * (offset + item.q_norm.weight.double())
            k = k * (offset + item.k_norm.weight.double())
        o = item.w_o[head].double() * item.write_gain.double()
        for port, read in (("q", q @ k.T), ("k", k @ q.T), ("v", v @ o)):
            wanted = (written @ read).norm() / (written.norm() * read.norm())
            found = scores[port][0, source_head, last, head]
            assert float(found) == pytest.approx(float(wanted), rel=1e-3)


def test_heads_that_have_nothing_to_do_with_each_other_score_at_chance(shaken):
    """One layer's writes are rotated at random 50 times, for all pairs of heads together."""
    model, _ = shaken
    first, second = layers_of(model)[:2]
    rng = torch.Generator().manual_seed(0)
    squares = []
    for _ in range(50):
        rotation = torch.linalg.qr(torch.randn(model.d_model, model.d_model, generator=rng)).Q
        turned = replace(
            first, w_o=first.w_o @ rotation, write_gain=torch.ones_like(first.write_gain)
        )
        squares.append(composition_scores([turned, second], "q")[0, :, 1].square().mean())
    root = float(torch.stack(squares).mean().sqrt())
    assert root == pytest.approx(chance_score(model.d_model), rel=0.1)


def test_copying_is_that_of_the_whole_map_from_tokens_to_logits(shaken):
    model, _ = shaken
    weights, unembed = attention_weights(model, 0), unembedding(model)
    tokens = torch.arange(20, 80)
    streams = token_streams(model, tokens)
    for head in range(model.n_heads):
        found = copying(weights, head, streams, tokens, unembed)
        table = np.stack(
            [(head_values(weights, head, row[None]) @ unembed)[0].numpy() for row in streams]
        )
        table = table - table.mean(0)
        values = np.linalg.eigvals(table[:, tokens.numpy()].astype(np.float64))
        assert found.eigenvalues == pytest.approx(
            values.sum().real / np.abs(values).sum(), abs=1e-3
        )
        hits = [token in np.argsort(-table[row])[:5] for row, token in enumerate(tokens.tolist())]
        assert found.top == pytest.approx(np.mean(hits))
        assert found.chance == pytest.approx(5 / 300)


def test_a_head_that_copies_is_found_and_one_that_does_the_reverse(shaken):
    """A planted head: what it writes for a token is the token's own unembedding."""
    model, _ = shaken
    weights = attention_weights(model, 0)
    tokens = torch.arange(20, 20 + model.d_head)
    streams, unembed = token_streams(model, tokens), unembedding(model)
    normed = weights.normed(streams)
    w_v, w_o = weights.w_v.clone(), weights.w_o.clone()
    w_v[0] = torch.linalg.pinv(normed)  # the value of token t is the unit vector t
    w_o[0] = torch.linalg.pinv(unembed[:, tokens])
    for sign in (1.0, -1.0):
        planted = replace(
            weights,
            w_v=w_v,
            w_o=sign * w_o,
            b_v=torch.zeros_like(weights.b_v),
            write_gain=torch.ones_like(weights.write_gain),
        )
        found = copying(planted, 0, streams, tokens, unembed)
        assert found.eigenvalues == pytest.approx(sign, abs=0.02)
        assert (found.top > 0.5) == (sign > 0)


def test_the_lens_is_the_folded_unembedding_and_has_no_bias(shaken):
    model, _ = shaken
    rng = torch.Generator().manual_seed(0)
    directions = torch.randn(3, model.d_model, generator=rng)
    found = direction_logits(model, directions)
    wanted = directions @ unembedding(model)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours / ours.norm(), theirs / theirs.norm(), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(
        direction_logits(model, -7 * directions), -found, **{"atol": 1e-4, "rtol": 1e-3}
    )
    alone = logit_readout(model.bridge, 1e3 * directions[:1]).values
    bias = float((alone[0] - alone[0].mean() - found[0]).abs().max())
    assert (bias > 1e-2) == isinstance(
        model.plain_model.get_submodule(model.bridge.adapter.component_mapping["ln_final"].name),
        torch.nn.LayerNorm,
    )


def test_tokens_are_words_with_visible_spaces(shaken):
    model, _ = shaken
    ids = model.tokenizer(" lamp\n", add_special_tokens=False).input_ids
    joined = "".join(token_words(model, ids))
    assert joined == "␣lamp⏎"
