"""Tables of what heads read and write, and of their roles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.circuits import Node
from emotion_circuits.circuits.nodes import Port
from emotion_circuits.circuits.reading import (
    AttentionWeights,
    TopScores,
    attention_weights,
    chance_score,
    check_reading,
    composition_scores,
    copying,
    direction_gain,
    direction_logits,
    mean_preferences,
    mean_write,
    random_gain,
    token_streams,
    token_words,
    top_pairs,
    top_writes,
    unembedding,
)
from emotion_circuits.circuits.roles import (
    ROLES,
    Probes,
    RoleReadings,
    head_roles,
    head_shares,
    role_of,
    rules_met,
    share_intervals,
)
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.pipelines.head_roles.settings import HeadRolesSettings

# No longer than any attention window.
_CHECKED_TOKENS = 3


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that heads are read with.

    Attributes:
        tokens: Token ids.
        words: The tokens as text, and those of the whole vocabulary.
        all_words: The same for the whole vocabulary.
        embedded: Stream of each token before layer 0.
        later: Stream of each token for later layers, with what the first MLP adds.
        unembed: The unembedding with the final norm folded in.
    """

    tokens: Int[Tensor, " token"]
    words: list[str]
    all_words: list[str]
    embedded: Float[Tensor, "token d_model"]
    later: Float[Tensor, "token d_model"]
    unembed: Float[Tensor, "d_model vocab"]

    @classmethod
    def of(cls, model: LanguageModel, texts: Sequence[str], *, limit: int) -> Vocabulary:
        """Take the most frequent tokens of texts."""
        counts = Counter(token for text in texts for token in model.encode(text))
        tokens = torch.tensor(sorted(token for token, _ in counts.most_common(limit)))
        unembed = unembedding(model)
        return cls(
            tokens,
            token_words(model, tokens.tolist()),
            token_words(model, list(range(unembed.shape[1]))),
            token_streams(model, tokens),
            token_streams(model, tokens, kind="first_mlp"),
            unembed,
        )


def reading_table(
    model: LanguageModel,
    vocabulary: Vocabulary,
    probes: Probes,
    emotions: Sequence[str],
    *,
    n_top: int,
) -> pd.DataFrame:
    """Read QK, OV, copying and composition of every head from its weights.

    Returns:
        One line per ``layer`` and ``head``: ``qk_keys``, the tokens it attends to most on
        average; ``qk_pairs``, ``query>key``; ``ov_writes``, ``read>written``; ``copying_…``; for
        each emotion
        ``ov_gain_…`` (see ``direction_gain``), ``ov_gain_z_…`` in standard deviations of random
        directions, and ``ov_tokens_…``, the tokens that let it write most along the direction; and
        for each port the earlier head that it composes with most.
    """
    layers = [attention_weights(model, layer) for layer in range(model.n_layers)]
    for weights in layers:
        check_reading(model, weights, vocabulary.tokens[-_CHECKED_TOKENS:])
    composed = {port: composition_scores(layers, port) for port in get_args(Port)}
    lines: list[dict[str, Any]] = []
    for weights in layers:
        streams = vocabulary.later if weights.layer else vocabulary.embedded
        site = probes.last if weights.layer <= probes.last.layer else probes.late_text
        directions = torch.stack([site.vectors[name] for name in emotions]).to(streams.device)
        lines += [
            {"layer": weights.layer, "head": head}
            | _tokens(weights, head, streams, vocabulary, n_top)
            | _copying(weights, head, streams, vocabulary)
            | _gains(weights, head, streams, directions, emotions, vocabulary.words, n_top)
            | _composition(composed, weights.layer, head)
            | {"composition_chance": chance_score(model.d_model)}
            for head in range(model.n_heads)
        ]
    return pd.DataFrame(lines)


def _tokens(
    weights: AttentionWeights, head: int, streams: Tensor, vocabulary: Vocabulary, n_top: int
) -> dict[str, Any]:
    words = vocabulary.words
    liked = mean_preferences(weights, head, streams, streams).topk(min(n_top, len(words)))
    pairs = top_pairs(weights, head, streams, streams, n_top=n_top)
    writes = top_writes(weights, head, streams, vocabulary.unembed, n_top=n_top)
    return {
        "qk_keys": " ".join(words[token] for token in liked.indices.tolist()),
        "qk_key_score": float(liked.values[0]),
        "qk_pairs": " ".join(_pairs(pairs, words, words)),
        "qk_pair_score": float(pairs.values[0]),
        "ov_writes": " ".join(_pairs(writes, words, vocabulary.all_words)),
        "ov_write_logit": float(writes.values[0]),
    }


def _pairs(top: TopScores, rows: list[str], columns: list[str]) -> Iterator[str]:
    for row, column in zip(top.rows.tolist(), top.columns.tolist(), strict=True):
        yield f"{rows[row]}>{columns[column]}"


def _copying(
    weights: AttentionWeights, head: int, streams: Tensor, vocabulary: Vocabulary
) -> dict[str, float]:
    found = copying(weights, head, streams, vocabulary.tokens, vocabulary.unembed)
    return {f"copying_{name}": value for name, value in found._asdict().items()}


def _gains(
    weights: AttentionWeights,
    head: int,
    streams: Tensor,
    directions: Float[Tensor, "emotion d_model"],
    emotions: Sequence[str],
    words: list[str],
    n_top: int,
) -> dict[str, Any]:
    gains = direction_gain(weights, head, directions).tolist()
    mean, deviation = random_gain(weights, head)
    columns: dict[str, Any] = {}
    for name, gain, direction in zip(emotions, gains, directions, strict=True):
        along = mean_write(weights, head, streams, direction)
        top = along.topk(min(n_top, len(words))).indices.tolist()
        columns |= {
            f"ov_gain_{name}": gain,
            f"ov_gain_z_{name}": (gain - mean) / deviation if deviation else float("nan"),
            f"ov_tokens_{name}": " ".join(words[token] for token in top),
        }
    return columns


def _composition(composed: dict[str, Tensor], layer: int, head: int) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for port, scores in composed.items():
        own = scores[:layer, :, layer, head]
        best = divmod(int(own.argmax()), own.shape[1]) if layer else None
        columns[f"{port}_source"] = str(Node("head", *best)) if best else ""
        columns[f"{port}_composition"] = float(own.max()) if layer else float("nan")
    return columns


def role_table(
    model: LanguageModel,
    readings: RoleReadings,
    probes: Probes,
    emotions: Sequence[str],
    settings: HeadRolesSettings,
) -> pd.DataFrame:
    """List the roles of all heads, for all emotions together and for each, and their shares.

    Returns:
        One line per head: ``node``, ``stage`` (``text`` up to the layer of the text's probe,
        ``last`` up to that of the last position's, then ``after``), ``role``, ``roles_met``,
        ``role_<emotion>``; for each role ``<role>_share`` with ``_lower``, ``_upper`` and ``_p``;
        ``cue_ratio`` and ``moved_attention``.
    """
    resamples = {"n_permutations": settings.n_permutations, "seed": settings.seed}
    shares = head_shares(readings, **resamples)
    intervals = share_intervals(readings, n_bootstrap=settings.n_bootstrap, seed=settings.seed)
    numbers = readings.pairs.emotion
    of_emotion = {
        name: head_roles(readings.select(numbers == number), settings.rules, **resamples)
        for number, name in enumerate(emotions)
    }
    lines = []
    for index, (head, own) in enumerate(zip(readings.heads, shares, strict=True)):
        line: dict[str, Any] = {
            "model_name": model.name,
            "layer": head.layer,
            "head": head.head,
            "node": str(Node("head", *head)),
            "stage": _stage(head.layer, probes),
            "role": role_of(own, settings.rules),
            "roles_met": " ".join(rules_met(own, settings.rules)),
            **{f"role_{name}": roles[index] for name, roles in of_emotion.items()},
        }
        for role in ROLES:
            interval = intervals[role][index]
            line[f"{role}_share"] = interval.value
            line[f"{role}_share_lower"], line[f"{role}_share_upper"] = interval[1:]
            line[f"{role}_p"] = getattr(own, role).p
        lines.append(line | {"cue_ratio": own.cue_ratio, "moved_attention": own.moved})
    return pd.DataFrame(lines)


def _stage(layer: int, probes: Probes) -> str:
    if layer <= probes.text.layer:
        return "text"
    return "last" if layer <= probes.last.layer else "after"


def lens_table(
    model: LanguageModel, probes: Probes, emotions: Sequence[str], *, n_top: int
) -> pd.DataFrame:
    """List the tokens whose logits each emotion's directions raise and lower most."""
    lines = []
    for probe in ("text", "last", "late_text"):
        site = getattr(probes, probe)
        logits = direction_logits(model, torch.stack([site.vectors[name] for name in emotions]))
        for name, values in zip(emotions, logits, strict=True):
            order = np.argsort(-values.numpy(), kind="stable")
            lines.append(
                {
                    "model_name": model.name,
                    "emotion": name,
                    "probe": probe,
                    "layer": site.layer,
                    "raised": " ".join(token_words(model, order[:n_top].tolist())),
                    "lowered": " ".join(token_words(model, order[::-1][:n_top].tolist())),
                    "highest_logit": float(values.max()),
                }
            )
    return pd.DataFrame(lines)
