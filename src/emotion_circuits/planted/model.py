"""Planted models: a transformer, its tokenizer, its prompts and what is known of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import transformers

from emotion_circuits.experiments.heads import Head
from emotion_circuits.planted import amplitudes
from emotion_circuits.planted.basis import Basis
from emotion_circuits.planted.idle import idle_weights
from emotion_circuits.planted.layout import Layout, lay_out
from emotion_circuits.planted.planting import plant
from emotion_circuits.planted.prompts import planted_prompts
from emotion_circuits.planted.shape import PlantedShape
from emotion_circuits.planted.truth import (
    TRUTH_FILE,
    PlantedDirection,
    PlantedNode,
    PlantedTruth,
    RedundantSet,
    head_name,
)
from emotion_circuits.planted.vocabulary import Vocabulary, planted_emotions
from emotion_circuits.planted.weights import to_transformers
from emotion_circuits.prompts import EmotionSet


class PlantedModel(NamedTuple):
    """A model whose circuit is known.

    Attributes:
        model: The transformer, in evaluation mode.
        tokenizer: Its tokenizer.
        prompts: Texts of the emotions and of the neutral class, as phase 1's table.
        truth: What is known.
    """

    model: transformers.PreTrainedModel
    tokenizer: transformers.PreTrainedTokenizerFast
    prompts: pd.DataFrame
    truth: PlantedTruth

    def save(self, folder: Path) -> None:
        """Write an ordinary model folder, with ``planted.json`` and the prompts beside it."""
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        (folder / TRUTH_FILE).write_text(self.truth.model_dump_json(indent=1), encoding="utf-8")
        self.prompts.to_json(folder / self.truth.prompts, orient="records", lines=True)


def build_planted(
    shape: PlantedShape,
    *,
    seed: int,
    planted: bool = True,
    emotions: EmotionSet | None = None,
    world_seed: int = 0,
    basis_seed: int | None = None,
) -> PlantedModel:
    """Build a model with a known circuit, without training.

    Args:
        shape: Architecture and size.
        seed: Seed of places, noise and directions.
        planted: Whether to plant the circuit and its decoys; without it, cues are words as any
            other, and the model says neutral reactions alone.
        emotions: The emotions; None for the study's default ones.
        world_seed: Seed of prompts and of the fillers' tones.
        basis_seed: Seed of directions alone; None for ``seed``. Two models that differ in it
            compute the same, in streams that are rotated against each other.
    """
    names = emotions or EmotionSet.model_validate({})
    vocabulary = Vocabulary(planted_emotions(names.names, names.neutral))
    basis = Basis.draw(shape.width, names.names, seed if basis_seed is None else basis_seed)
    weights = idle_weights(shape, vocabulary, basis, tones_seed=world_seed, seed=seed)
    layout = lay_out(shape, names.names, seed)
    known: dict[str, Any] = {}
    if planted:
        weights = plant(weights, shape, vocabulary, basis, layout, seed=seed)
        known = _known(shape, vocabulary, basis, layout)
    tokenizer = vocabulary.tokenizer()
    truth = PlantedTruth(
        emotions=names.names,
        neutral=names.neutral,
        n_layers=shape.n_layers,
        n_heads=shape.n_heads,
        d_model=shape.width,
        cue_tokens={
            name: tuple(vocabulary.ids[word] for word in vocabulary.cues(name))
            for name in names.names
        },
        reactions={name: vocabulary.reactions(name) for name in names.names},
        **known,
    )
    return PlantedModel(
        to_transformers(weights, shape, tokenizer),
        tokenizer,
        planted_prompts(vocabulary, seed=world_seed),
        truth,
    )


def _known(
    shape: PlantedShape, vocabulary: Vocabulary, basis: Basis, layout: Layout
) -> dict[str, Any]:
    """Return directions, nodes, redundant sets and edges of a planted circuit."""
    emotions = vocabulary.emotions.names
    return {
        "directions": tuple(
            direction
            for emotion in emotions
            for direction in _directions(emotion, emotions[0], shape, basis, layout)
        ),
        "nodes": _nodes(emotions, layout),
        "redundant": tuple(
            RedundantSet(emotion=emotion, nodes=tuple(_name(head) for head in heads))
            for emotion, heads in layout.detect.items()
            if len(heads) > 1
        ),
        "edges": {emotion: _edges(emotion, emotions[0], layout) for emotion in emotions},
    }


def _name(head: Head) -> str:
    return head_name(head.layer, head.head)


def _directions(
    emotion: str, inhibited: str, shape: PlantedShape, basis: Basis, layout: Layout
) -> list[PlantedDirection]:
    """Sum what the planted heads write at the last position, up to each layer."""
    written = [
        (head, amplitudes.DETECTED * basis.of("detected", emotion))
        for head in layout.detect[emotion]
    ]
    expressed = amplitudes.EXPRESSED * basis.of("expressed", emotion)
    written.append((layout.aggregate, amplitudes.CARRIED * basis.of("carried", emotion)))
    written.append((layout.express[emotion], expressed))
    if emotion == inhibited:
        written.append((layout.inhibit, -amplitudes.INHIBITED * expressed))
    directions = []
    for layer in range(shape.n_layers):
        until = [vector for head, vector in written if head.layer <= layer]
        if until:
            total = tuple(float(value) for value in sum(until[1:], start=until[0]))
            directions.append(
                PlantedDirection(
                    emotion=emotion,
                    layer=layer,
                    vector=total,
                    # What is detected is read at the delimiter, what is carried at the last token.
                    steers=layer >= layout.aggregate.layer,
                )
            )
    return directions


def _nodes(emotions: tuple[str, ...], layout: Layout) -> tuple[PlantedNode, ...]:
    nodes = [
        PlantedNode(
            node=_name(head),
            role="detect",
            emotions=(emotion,),
            ablation="lowers" if len(heads) == 1 else "none",
            attends_to_cue=True,
            writes_direction=True,
        )
        for emotion, heads in layout.detect.items()
        for head in heads
    ]
    nodes.append(
        PlantedNode(node=f"m{layout.mlp}", role="bind", emotions=emotions, ablation="lowers")
    )
    nodes.append(
        PlantedNode(
            node=_name(layout.aggregate),
            role="aggregate",
            emotions=emotions,
            ablation="lowers",
            writes_direction=True,
        )
    )
    nodes += [
        PlantedNode(
            node=_name(head),
            role="express",
            emotions=(emotion,),
            ablation="lowers",
            writes_direction=True,
        )
        for emotion, head in layout.express.items()
    ]
    nodes.append(
        PlantedNode(
            node=_name(layout.inhibit), role="inhibit", emotions=emotions[:1], ablation="raises"
        )
    )
    nodes += [PlantedNode(node=_name(head), role="decoy", ablation="none") for head in layout.loud]
    nodes += [
        PlantedNode(node=_name(head), role="decoy", ablation="none", attends_to_cue=True)
        for head in layout.watch
    ]
    return tuple(nodes)


def _edges(emotion: str, inhibited: str, layout: Layout) -> tuple[str, ...]:
    """Return the edges on which the two prompts of a pair differ, from input to logits."""
    mlp, aggregate = f"m{layout.mlp}", _name(layout.aggregate)
    speakers = [layout.express[emotion], *([layout.inhibit] if emotion == inhibited else [])]
    detect = [_name(head) for head in layout.detect[emotion]]
    return (
        *(f"input->{head}<{port}>" for head in detect for port in "kv"),
        *(f"{head}->{mlp}" for head in detect),
        f"{mlp}->{aggregate}<v>",
        *(f"{aggregate}->{_name(head)}<v>" for head in speakers),
        *(f"{_name(head)}->logits" for head in speakers),
    )
