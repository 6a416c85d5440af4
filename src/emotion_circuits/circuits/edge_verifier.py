"""Faithfulness of circuits of edges, in exact runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from emotion_circuits.circuits.attribution import log_odds
from emotion_circuits.circuits.edge_places import edge_places, graph_of
from emotion_circuits.circuits.edge_runs import edge_logits
from emotion_circuits.circuits.faithfulness import CircuitRuns
from emotion_circuits.circuits.nodes import Edge
from emotion_circuits.errors import InputError
from emotion_circuits.language_models import LanguageModel

# Numbers of a pass: what all sources write at all positions of all rows. More do not fit the cache.
_NUMBERS_PER_PASS: Final = 2**22
# Largest error of the engine, as a share of the metric's mean change.
_TOLERANCE: Final = 0.01


class EdgeVerifier(CircuitRuns[Edge]):
    """Reads the log odds of tokens while edges carry what their sources write in a reference.

    Attributes:
        model: The model.
        prompts: Token ids of each pair's clean prompt.
        references: What all nodes write outside the circuit, for each pair.
        tokens: The tokens whose log odds are read.
        full: Log odds of the clean prompts.
        empty: Log odds with no edge: with the partner's writes, those of the partner.
    """

    def __init__(
        self,
        model: LanguageModel,
        prompts: Sequence[tuple[int, ...]],
        references: Sequence[Float[Tensor, "_ source d_model"]],
        tokens: Tensor,
        full: Float[np.ndarray, " pair"],
    ) -> None:
        """Prepare the runs, and check that the circuit of all edges is the model.

        Args:
            model: The model.
            prompts: Token ids of each pair's clean prompt.
            references: The result of ``resampled_writes`` or ``mean_writes``.
            tokens: The tokens whose log odds are read.
            full: Log odds of the clean prompts in the model's ordinary run.

        Raises:
            InputError: If the architecture computes its stream in another way than as a sum of
                writes, so that the circuit of all edges differs from the model.
        """
        self.model, self.prompts, self.references, self.tokens = model, prompts, references, tokens
        self._graph = graph_of(model)
        self._places = edge_places(self._graph)
        self._index = {edge: index for index, edge in enumerate(self._graph.edges())}
        everything = [(pair, frozenset[Edge]()) for pair in range(len(prompts))]
        self.full = full
        self.empty = self._read(everything, keep=True)
        error = float(np.abs(self._read(everything, keep=False) - full).mean())
        allowed = _TOLERANCE * float(np.abs(full - self.empty).mean()) + 1e-3
        if error > allowed:
            raise InputError(
                f"circuits of edges of model {model.name!r}: all edges together miss the model's "
                f"log odds by {error:.3g} nats; allowed are {allowed:.3g}. Take dtype float32, or "
                "set edges to null in the parameters of circuits"
            )

    def _read(
        self, rows: Sequence[tuple[int, frozenset[Edge]]], *, keep: bool
    ) -> Float[np.ndarray, " row"]:
        values = np.empty(len(rows))
        by_length: dict[int, list[int]] = {}
        for row, (pair, _) in enumerate(rows):
            by_length.setdefault(len(self.prompts[pair]), []).append(row)
        for length, members in by_length.items():
            numbers = length * self._places.n_sources * self.model.d_model
            size = max(1, _NUMBERS_PER_PASS // numbers)
            for start in range(0, len(members), size):
                part = members[start : start + size]
                values[part] = self._run([rows[row] for row in part], keep=keep)
        return values

    def _run(
        self, rows: Sequence[tuple[int, frozenset[Edge]]], *, keep: bool
    ) -> Float[np.ndarray, " row"]:
        device = self.model.device
        ids = torch.tensor([self.prompts[pair] for pair, _ in rows], device=device)
        reference = torch.stack([self.references[pair] for pair, _ in rows]).to(device)
        logits = edge_logits(self.model, ids, reference, self._inside(rows, keep=keep).to(device))
        odds: np.ndarray = log_odds(logits.float(), self.tokens).double().cpu().numpy()
        return odds

    def _inside(self, rows: Sequence[tuple[int, frozenset[Edge]]], *, keep: bool) -> Tensor:
        """Return ``[row, source, reader]``: which edges carry what the run writes."""
        places = self._places
        inside = np.full((len(rows), places.n_sources, places.n_readers), not keep)
        sources, readers = np.array(places.sources), np.array(places.readers)
        indices: dict[frozenset[Edge], np.ndarray] = {}
        for row, (_, circuit) in enumerate(rows):
            if circuit not in indices:
                chosen = [self._index[edge] for edge in circuit]
                indices[circuit] = np.array(chosen, dtype=int)
            at = indices[circuit]
            inside[row, sources[at], readers[at]] = keep
        return torch.from_numpy(inside)
