"""What is known of a planted model: the form of ``planted.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field, model_validator

from emotion_circuits.circuits import Graph
from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.phase_settings import PhaseSettings

TRUTH_FILE: Final = "planted.json"
Role = Literal["detect", "bind", "aggregate", "express", "inhibit", "decoy"]
Effect = Literal["lowers", "raises", "none"]


class PlantedDirection(PhaseSettings):
    """Direction of an emotion minus neutral, at the last position of the stream after a layer."""

    emotion: str
    layer: int = Field(ge=0, description="the stream is read after this layer")
    vector: tuple[float, ...] = Field(min_length=1, description="of any length, not zero")
    steers: bool | None = Field(
        None,
        description="whether the vector brings the emotion's reactions if it is added to neutral "
        "prompts here, from their last position on; null: not known",
    )

    @model_validator(mode="after")
    def _points_somewhere(self) -> PlantedDirection:
        if not any(self.vector):
            raise ValueError(f"the vector of {self.emotion} at layer {self.layer} is zero")
        return self


class PlantedNode(PhaseSettings):
    """A head or an MLP with a known part."""

    node: str = Field(description="a2.h3: head 3 of layer 2; m1: MLP of layer 1")
    role: Role = Field(
        description="detect: reads cues; bind: puts it where it is fetched from; aggregate: moves "
        "it to the last position; express: raises reactions; inhibit: lowers them; decoy"
    )
    emotions: tuple[str, ...] = Field(
        default=(), description="emotions that it carries; of decoys none"
    )
    ablation: Effect = Field(
        description="what the loss of the node alone does to the emotion's reactions"
    )
    attends_to_cue: bool = Field(
        default=False, description="whether the head attends to cues from the positions after them"
    )
    writes_direction: bool = Field(
        default=False, description="whether it writes along the direction at the last position"
    )


class RedundantSet(PhaseSettings):
    """Nodes of which one is enough: the loss of all matters, that of one does not."""

    emotion: str
    nodes: tuple[str, ...] = Field(min_length=2)


class PlantedTruth(PhaseSettings):
    """Everything that is known of a model by construction."""

    emotions: tuple[str, ...] = Field(min_length=1)
    neutral: str = "neutral"
    n_layers: int = Field(ge=1)
    n_heads: int = Field(ge=1, description="query heads per layer")
    d_model: int = Field(ge=1)
    cue_tokens: dict[str, tuple[int, ...]] = Field(
        description="by emotion, ids of the tokens that settle it"
    )
    reactions: dict[str, tuple[str, ...]] = Field(description="by emotion, words that express it")
    prompts: str = Field(
        default="planted_prompts.jsonl",
        description="file of prompts in the folder, as phase 1 reads it",
    )
    directions: tuple[PlantedDirection, ...] = ()
    nodes: tuple[PlantedNode, ...] = ()
    redundant: tuple[RedundantSet, ...] = ()
    edges: dict[str, tuple[str, ...]] = Field(
        default={}, description="by emotion, edges of its circuit: a0.h1->a2.h3<v>, input->m0"
    )

    @model_validator(mode="after")
    def _belong_together(self) -> PlantedTruth:
        if len(set(self.emotions)) < len(self.emotions) or self.neutral in self.emotions:
            raise ValueError("emotions are distinct, and none is the neutral class")
        self._check_emotions()
        self._check_places()
        for direction in self.directions:
            if len(direction.vector) != self.d_model:
                raise ValueError(
                    f"the vector of {direction.emotion} at layer {direction.layer} has "
                    f"{len(direction.vector)} entries; d_model is {self.d_model}"
                )
            if direction.layer >= self.n_layers:
                raise ValueError(
                    f"a direction of {direction.emotion} is at layer {direction.layer}; allowed "
                    f"are 0 to {self.n_layers - 1}"
                )
        return self

    def _check_emotions(self) -> None:
        named = [
            *(("cue_tokens", name) for name in self.cue_tokens),
            *(("reactions", name) for name in self.reactions),
            *(("edges", name) for name in self.edges),
            *(("directions", direction.emotion) for direction in self.directions),
            *(("redundant", group.emotion) for group in self.redundant),
            *(("nodes", name) for node in self.nodes for name in node.emotions),
        ]
        for field, name in named:
            if name not in self.emotions:
                raise unknown_name(f"{field}: emotion", name, self.emotions)
        for field in ("cue_tokens", "reactions"):
            for name in self.emotions:
                if not getattr(self, field).get(name):
                    raise ValueError(f"{field} of {name} are missing")

    def _check_places(self) -> None:
        graph = Graph(self.n_layers, self.n_heads)
        names = [node.node for node in self.nodes]
        for name in names:
            if graph.node(name).kind not in ("head", "mlp"):
                raise ValueError(f"node {name!r} is neither a head nor an MLP")
        if len(set(names)) < len(names):
            raise ValueError("a node stands twice in the list")
        for group in self.redundant:
            for name in group.nodes:
                if name not in names:
                    raise unknown_name("redundant: node", name, names, where="nodes")
        for edges in self.edges.values():
            for edge in edges:
                graph.edge(edge)

    @classmethod
    def read(cls, folder: Path) -> PlantedTruth:
        """Read the file of a model's folder.

        Raises:
            InputError: If the file is missing or invalid; the message names it.
        """
        path = folder / TRUTH_FILE
        if not path.is_file():
            raise InputError(
                f"{folder} has no {TRUTH_FILE}, which says what is known of the model; "
                "docs/selfcheck.md has its form"
            )
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, RecursionError) as error:  # also an InputError, and JSON's own
            raise InputError(f"{path}: {error}") from error

    def direction(self, emotion: str, layer: int) -> Float[np.ndarray, " d_model"] | None:
        """Return the unit vector of an emotion after a layer; None where none is known."""
        for known in self.directions:
            if (known.emotion, known.layer) == (emotion, layer):
                vector = np.array(known.vector)
                return vector / np.linalg.norm(vector)  # type: ignore[no-any-return]
        return None

    @property
    def heads(self) -> list[PlantedNode]:
        """All heads of the list, decoys included."""
        return [node for node in self.nodes if node.node.startswith("a")]


def head_name(layer: int, head: int) -> str:
    """Return a head's name, as in ``circuits.Graph``."""
    return f"a{layer}.h{head}"
