"""OV and QK against architectures written out, patched passes, and loops over tokens."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from emotion_circuits.circuits import head_writes
from emotion_circuits.circuits.norms import is_centered
from emotion_circuits.circuits.reading.ov import (
    direction_gain,
    head_values,
    mean_write,
    ov_factors,
    random_gain,
    top_writes,
    unembedding,
)
from emotion_circuits.circuits.reading.qk import attention_scores, mean_preferences, top_pairs
from emotion_circuits.circuits.reading.self_check import check_reading
from emotion_circuits.circuits.reading.vocabulary import token_streams
from emotion_circuits.circuits.reading.weights import attention_weights
from emotion_circuits.errors import InputError
from emotion_circuits.interventions import Site, record
from handwritten import written_heads

IDS = [5, 17, 60, 33]  # no longer than the shortest attention window
ROUNDING = {"atol": 2e-5, "rtol": 1e-3}  # float32, summed in another order


def streams_of(model, ids, layer):
    site = Site("resid_pre", layer)
    return record(model, torch.tensor([ids]), [site]).activations[site][0]


def test_scores_are_those_before_the_softmax_at_every_distance(shaken):
    """Differences of log attention are differences of scores, for every query and key."""
    model, plain = shaken
    heads, _ = written_heads(plain, model.name, IDS)
    for layer in range(model.n_layers):
        weights, streams = attention_weights(model, layer), streams_of(model, IDS, layer)
        for head in range(model.n_heads):
            for query in range(len(IDS)):
                scores = torch.stack(
                    [
                        attention_scores(
                            weights,
                            head,
                            streams[[query]],
                            streams[[key]],
                            distance=query - key,
                        )[0, 0]
                        for key in range(query + 1)
                    ]
                )
                seen = heads[layer].pattern[head, query, : query + 1].log()
                torch.testing.assert_close(
                    scores - scores[-1], seen - seen[-1], atol=1e-4, rtol=1e-3
                )


def test_the_score_at_zero_distance_is_the_bridges(shaken):
    """TransformerLens shows the score of a position with itself."""
    model, _ = shaken
    if model.name == "gpt_neo":
        return  # TransformerLens 4.3 shows attention after the softmax there
    _, cache = model.bridge.run_with_cache(torch.tensor([IDS]))
    for layer in range(model.n_layers):
        shown = cache[f"blocks.{layer}.attn.hook_attn_scores"][0].diagonal(dim1=-2, dim2=-1)
        weights, streams = attention_weights(model, layer), streams_of(model, IDS, layer)
        for head in range(model.n_heads):
            scores = attention_scores(weights, head, streams, streams).diagonal()
            torch.testing.assert_close(scores, shown[head], atol=1e-4, rtol=1e-3)


def test_a_token_alone_is_written_as_predicted(shaken):
    """The only token of a prompt gets all attention, so the write is that of OV."""
    model, _ = shaken
    writes = head_writes(model, [[token] for token in IDS])
    for layer in range(model.n_layers):
        weights = attention_weights(model, layer)
        for row, token in enumerate(IDS):
            stream = streams_of(model, [token], layer)
            for head in range(model.n_heads):
                written, seen = head_values(weights, head, stream)[0], writes[row, layer, head]
                if model.name == "gemma3":  # up to the divisor of the norm that follows
                    written, seen = written / written.norm(), seen / seen.norm()
                torch.testing.assert_close(written, seen, **ROUNDING)


def test_attention_that_is_forced_onto_a_token_writes_as_predicted(shaken):
    """The last position's output of one head is replaced by the value of an earlier token."""
    model, plain = shaken
    heads, _ = written_heads(plain, model.name, IDS)
    z, out = Site("z", 1), Site("attn_out", 1)
    clean = record(model, torch.tensor([IDS]), [z, out]).activations
    streams, weights = streams_of(model, IDS, 1), attention_weights(model, 1)
    for head in range(model.n_heads):
        nothing, forced = clean[z].clone(), clean[z].clone()
        nothing[0, -1, head] = 0
        forced[0, -1, head] = heads[1].v[2, head]
        outputs = [
            record(model, torch.tensor([IDS]), [z, out], replace={z: value}).activations[out]
            for value in (nothing, forced)
        ]
        written = (outputs[1] - outputs[0])[0, -1] * weights.write_gain
        torch.testing.assert_close(head_values(weights, head, streams[[2]])[0], written, **ROUNDING)


def test_top_entries_are_those_of_loops_over_tokens(shaken, monkeypatch):
    model, _ = shaken
    tokens = torch.arange(40, 61)
    streams, unembed = token_streams(model, tokens), unembedding(model)
    weights, head = attention_weights(model, 0), model.n_heads - 1
    table = np.zeros((21, 21))
    logits = np.zeros((21, unembed.shape[1]))
    for i in range(21):
        for j in range(21):
            pair = attention_scores(weights, head, streams[[i]], streams[[j]], distance=2)
            table[i, j] = float(pair)
        table[i] -= table[i].mean()
        logits[i] = (head_values(weights, head, streams[[i]]) @ unembed)[0].numpy()
    for module in ("qk._SCORES", "ov._LOGITS"):  # several blocks, the last one smaller
        monkeypatch.setattr(f"emotion_circuits.circuits.reading.{module}", 4 * 300)
    pairs = top_pairs(weights, head, streams, streams, n_top=7, distance=2)
    writes = top_writes(weights, head, streams, unembed, n_top=7)
    for best, wanted in ((pairs, table), (writes, logits)):
        order = np.argsort(-wanted, axis=None)[:7]
        rows, columns = np.unravel_index(order, wanted.shape)
        assert best.rows.tolist() == rows.tolist()
        assert best.columns.tolist() == columns.tolist()
        np.testing.assert_allclose(best.values.numpy(), wanted[rows, columns], atol=1e-4)
    liked = mean_preferences(weights, head, streams, streams, distance=2)
    np.testing.assert_allclose(liked.numpy(), table.mean(0), atol=1e-4)


def test_logits_of_a_write_are_what_it_adds_before_the_softmax(shaken):
    """With the final norm's divisor held, a write moves log odds as its logits say."""
    model, plain = shaken
    weights, unembed = attention_weights(model, 0), unembedding(model)
    streams = token_streams(model, torch.tensor(IDS))
    write = head_values(weights, 0, streams)[0].double()
    norm = model.plain_model.get_submodule(model.bridge.adapter.component_mapping["ln_final"].name)
    stream = torch.randn(model.d_model, generator=torch.Generator().manual_seed(0)).double()
    centered = stream - stream.mean() if hasattr(norm, "bias") else stream
    scale = float((centered.square().mean() + 1e-5).sqrt())
    offset = 1.0 if model.name == "gemma3" else 0.0

    def logits(x):
        if hasattr(norm, "bias"):
            x = x - x.mean()
        return plain.get_output_embeddings().weight.double() @ (
            x / scale * (offset + norm.weight.double())
        )

    moved = logits(stream + write) - logits(stream)
    wanted = (write.float() @ unembed).double() / scale
    torch.testing.assert_close(moved - moved.mean(), wanted, atol=1e-4, rtol=1e-3)


def test_gain_is_that_of_the_whole_matrix_and_of_a_longer_stream(shaken):
    model, _ = shaken
    weights = attention_weights(model, 1)
    rng = torch.Generator().manual_seed(2)
    directions = torch.randn(3, model.d_model, generator=rng)
    for head in range(model.n_heads):
        read, write = ov_factors(weights, head)
        gains = direction_gain(weights, head, directions)
        for direction, found in zip(directions, gains, strict=True):
            unit = direction / direction.norm()
            assert float(found) == pytest.approx(float(unit @ read @ write @ unit), abs=1e-4)


def test_the_linear_part_of_a_write_is_the_folded_matrix(shaken):
    """A stream and its negative share the divisor, so half their difference has no bias."""
    model, _ = shaken
    weights = attention_weights(model, 1)
    streams = 10 * torch.randn(5, model.d_model, generator=torch.Generator().manual_seed(4))
    centered = streams - streams.mean(1, keepdim=True) * is_centered(weights.norm)
    scales = centered.square().mean(1, keepdim=True).sqrt()  # eps is 1e-7 of it
    for head in range(model.n_heads):
        read, write = ov_factors(weights, head)
        halves = (head_values(weights, head, streams) - head_values(weights, head, -streams)) / 2
        torch.testing.assert_close(halves * scales, streams @ read @ write, atol=1e-3, rtol=1e-3)


def test_random_directions_have_the_gain_that_is_stated(shaken):
    """20,000 directions: the standard error of the mean is 1/141 of their deviation."""
    model, _ = shaken
    weights = attention_weights(model, 0)
    drawn = torch.randn(20_000, model.d_model, generator=torch.Generator().manual_seed(3))
    gains = direction_gain(weights, 1, drawn)
    mean, deviation = random_gain(weights, 1)
    assert float(gains.mean()) == pytest.approx(mean, abs=5 * deviation / 141)
    assert float(gains.std()) == pytest.approx(deviation, rel=0.04)


def test_writes_along_a_direction_are_relative_to_the_mean_token(shaken):
    model, _ = shaken
    weights = attention_weights(model, 0)
    streams = token_streams(model, torch.arange(10, 30))
    direction = torch.arange(model.d_model).float()
    along = mean_write(weights, 2, streams, direction)
    unit = direction.numpy() / np.linalg.norm(direction.numpy())
    wanted = [float(head_values(weights, 2, row[None])[0].numpy() @ unit) for row in streams]
    np.testing.assert_allclose(along.numpy(), np.array(wanted) - np.mean(wanted), atol=1e-4)


def test_tokens_are_read_by_embedding_and_by_the_first_mlp(shaken, monkeypatch):
    model, _ = shaken
    if model.bridge.adapter.component_mapping.get("pos_embed") is not None:
        monkeypatch.setattr(model.plain_model.transformer.wpe.weight, "data", torch.zeros(64, 32))
        monkeypatch.setattr(
            model.bridge.pos_embed.original_component.weight, "data", torch.zeros(64, 32)
        )
    entry, out, post = Site("resid_pre", 0), Site("attn_out", 0), Site("resid_post", 0)
    tokens = torch.tensor(IDS)
    nothing = {out: torch.zeros(len(IDS), 1, model.d_model)}
    seen = record(model, tokens[:, None], [entry, out, post], replace=nothing).activations
    if model.name == "gemma3":  # the norm after attention makes zeros of zeros as well
        assert float(seen[out].abs().max()) == 0
    torch.testing.assert_close(token_streams(model, tokens), seen[entry][:, 0])
    torch.testing.assert_close(
        token_streams(model, tokens, kind="first_mlp"), seen[post][:, 0], **ROUNDING
    )


def test_the_check_accepts_heads_as_read_and_refuses_others(shaken):
    model, _ = shaken
    for layer in range(model.n_layers):
        weights = attention_weights(model, layer)
        check_reading(model, weights, torch.tensor(IDS))
        for wrong in (
            replace(weights, scale=2 * weights.scale),
            replace(weights, w_v=weights.w_v.flip(0)),
            replace(weights, norm=None),
        ):
            with pytest.raises(InputError, match="from what its weights predict"):
                check_reading(model, wrong, torch.tensor(IDS))


def test_a_layer_that_does_not_exist_is_one_line(shaken):
    model, _ = shaken
    with pytest.raises(InputError, match=rf"layer {model.n_layers} is out of range"):
        attention_weights(model, model.n_layers)
