"""The phases of one model, each compared with what is true of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from emotion_circuits.circuits import graph_of
from emotion_circuits.circuits.edge_references import resampled_writes
from emotion_circuits.circuits.edge_verifier import EdgeVerifier
from emotion_circuits.circuits.emotion_targets import marking_tokens
from emotion_circuits.circuits.faithfulness import Verifier
from emotion_circuits.circuits.replacements import resampled
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.pipelines.selfcheck.phases import Phases
from emotion_circuits.pipelines.selfcheck.settings import SelfcheckSettings
from emotion_circuits.pipelines.selfcheck.subjects import PlantedSubject
from emotion_circuits.planted import Vocabulary, neutral_prompts
from emotion_circuits.planted.recovery import (
    Check,
    check_alignment,
    check_circuits,
    check_directions,
    check_edge_faithfulness,
    check_faithfulness,
    check_patching,
    check_redundant,
    check_roles,
    check_screening,
    check_significant,
    check_steering,
)
from emotion_circuits.prompts import PromptSource

_ALPHA = 1.0
# Sets of other heads that are compared with the planted ones, and pairs of prompts to read them on.
_N_OTHER, _N_PAIRS = 5, 6
_VECTORS = {"position_strategy": "last_token"}
# The null needs 100 permutations; what is not compared is run as little as it can be.
_ALIGNMENT = {
    "n_permutations": 100,
    "n_swaps": 100,
    "k_max": 1,
    "n_random": 1,
    "n_splits": 1,
    "n_resamples": 1,
    "n_halvings": 1,
}


# Pairs of prompts that circuits are found on.
_N_CIRCUIT_PAIRS = 12
# Circuits hold what lowers an emotion too, and redundant nodes; controls are not compared.
_CIRCUITS = {
    "most": 1.1,
    "gap": 0.1,
    "num_random": 1,
    "num_orders": 1,
    "num_shuffled": 1,
    "num_resamples": 2,
    "n_sizes": 2,
    "n_bootstrap": 1,
    "edges": None,
}
_ROLES = {"n_random": 1, "n_splits": 1, "n_top": 1, "max_tokens": 2, "n_bootstrap": 1}
# The smallest p is 0.005, so that it can be significant for one of several emotions.
UNPLANTED_CIRCUITS = _CIRCUITS | {"most": None, "gap": None, "num_random": 199}


class Examination:
    """Runs phases on one model; each result is there for the next phase.

    A further phase is one more method with its comparison in ``planted.recovery``.
    """

    def __init__(
        self, subject: PlantedSubject, phases: Phases, settings: SelfcheckSettings
    ) -> None:
        """Prepare a model.

        Args:
            subject: The model.
            phases: The study's phases.
            settings: Parameters of the selfcheck.
        """
        self._subject, self._phases, self._settings = subject, phases, settings
        self.data: dict[str, Any] = {
            "language_model": subject.model,
            "text_evaluator": subject.evaluator,
            "prompts": subject.prompts,
            # Steering uses the table's neutral prompts.
            "fresh_prompts": PromptSource("none", ()),
            "params:emotions": subject.emotions,
            "params:profile": "selfcheck",
        }
        self._generation: dict[str, Any] = {"sequence_length": settings.sequence_length}
        self._heads = self._generation | {
            "max_samples_per_emotion": settings.n_pairs,
            "n_bootstrap": settings.n_bootstrap,
        }

    def checks(self) -> Iterator[Check]:
        """Run all phases and yield their comparisons."""
        yield from self.directions()
        yield from self.screening()
        yield from self.patching()
        yield from self.circuits()
        yield from self.steering()
        yield from self.alignment()

    def screened(self) -> pd.DataFrame:
        """Run what screening needs, and screening; return its table."""
        self._run("activations", {})
        self._run("emotion_vectors", _VECTORS)
        self._run("head_screening", self._heads, nodes=("screen_heads",))
        table: pd.DataFrame = self.data["head_score_table"]
        return table

    def directions(self) -> Iterator[Check]:
        """Compare emotion vectors of the last token with planted directions."""
        self._run("activations", {})
        self._run("emotion_vectors", _VECTORS)
        vectors = self.data["emotion_vectors"]
        yield from check_directions(
            self._subject.truth,
            vectors["emotion_vectors"],
            vectors["metadata"]["layer_indices"],
            bar=self._settings.bars.direction_cosine,
        )

    def screening(self) -> Iterator[Check]:
        """Compare the scores of heads with the heads that each should find."""
        self._run("head_screening", self._heads, nodes=("screen_heads",))
        truth, table = self._subject.truth, self.data["head_score_table"]
        bars = self._settings.bars
        yield from check_screening(truth, table, bar=bars.screening_auroc)
        yield from check_significant(
            truth, table, alpha=self._settings.alpha, bar=bars.heads_significant
        )

    def patching(self) -> Iterator[Check]:
        """Patch and ablate all planted heads together, and redundant ones."""
        truth, bars = self._subject.truth, self._settings.bars
        carrying = tuple(node.node for node in truth.heads if node.emotions)
        if carrying:
            ranks = self._ranks(carrying, n_other=_N_OTHER)
            yield from check_patching(
                truth, ranks, bar=bars.heads_share, others_bar=bars.other_share
            )
        for group in truth.redundant:
            yield from check_redundant(
                group,
                self._ranks(group.nodes, n_other=0),
                self.data["head_score_table"],
                bar=bars.heads_share,
                alone_bar=bars.other_share,
            )

    def circuits(self) -> Iterator[Check]:
        """Find circuits and edges, tell roles, and run the planted circuit alone."""
        truth, bars = self._subject.truth, self._settings.bars
        if not truth.nodes:
            return
        self.find_circuits(_CIRCUITS)
        yield from check_circuits(
            truth,
            self.data["circuit"]["circuits"],
            self.data["circuit_edges"],
            bar=bars.circuit_share,
            edge_bar=bars.edge_share,
        )
        yield from self._faithfulness()
        self._run("head_roles", _ROLES | {"max_samples_per_emotion": self._settings.n_pairs})
        yield from check_roles(truth, self.data["circuit_heads"], bar=bars.circuit_share)

    def find_circuits(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Run the search for circuits, after activations and vectors; return them by emotion."""
        limit = {"max_samples_per_emotion": _N_CIRCUIT_PAIRS}
        self._run("circuits", parameters | limit, nodes=("find_circuits",))
        found: dict[str, Any] = self.data["circuit"]["circuits"]
        return found

    def _faithfulness(self) -> Iterator[Check]:
        subject, bars = self._subject, self._settings.bars
        paired = PairedPrompts.prepare(
            subject.model, subject.prompts, subject.emotions, split="test", limit=_N_CIRCUIT_PAIRS
        )
        marking = marking_tokens(subject.model, subject.emotions)
        graph = graph_of(subject.model)
        for emotion in subject.truth.emotions:
            circuit = [graph.node(n.node) for n in subject.truth.nodes if emotion in n.emotions]
            pairs = paired.pairs(emotion)
            clean, partners = ([paired.ids[i] for i in side] for side in zip(*pairs, strict=True))
            verifier = Verifier(
                subject.model,
                clean,
                resampled(subject.model, clean, partners),
                [marking[emotion]],
                [0] * len(clean),
            )
            yield from check_faithfulness(
                emotion,
                verifier,
                circuit,
                graph.nodes()[1:-1],
                bar=bars.circuit_faithfulness,
                random_bar=bars.other_share,
                distance_bar=bars.circuit_distance,
                seed=0,
            )
            edges = [graph.edge(name) for name in subject.truth.edges.get(emotion, ())]
            if edges:
                references = resampled_writes(subject.model, clean, partners)
                yield from check_edge_faithfulness(
                    emotion,
                    EdgeVerifier(subject.model, clean, references, marking[emotion], verifier.full),
                    edges,
                    graph.edges(),
                    bar=bars.circuit_faithfulness,
                    random_bar=bars.other_share,
                    seed=0,
                )

    def steering(self) -> Iterator[Check]:
        """Add the recovered vectors to neutral prompts at every layer."""
        parameters = {"alphas": [_ALPHA], "layers_up_to": 1.0, "split": "test"}
        self._run("residual_patching", self._generation | parameters, nodes=("sweep_emotions",))
        bars = self._settings.bars
        yield from check_steering(
            self._subject.truth,
            self.data["residual_sweep"],
            alpha=_ALPHA,
            bar=bars.steered_share,
            nothing_bar=bars.steered_nothing,
        )

    def alignment(self) -> Iterator[Check]:
        """Map the model into its rotated copy, by maps learned on neutral texts."""
        rotated = self._subject.rotated
        if rotated is None:
            return
        data = {
            f"{name}_{side}": value
            for side, subject in (("a", self._subject), ("b", rotated))
            for name, value in self._geometry(subject).items()
        }
        shared = {name: value for name, value in self.data.items() if name.startswith("params:")}
        aligned = self._phases.run("alignment", data | shared, _ALIGNMENT, nodes=("align_models",))
        bars = self._settings.bars
        yield from check_alignment(
            rotated.truth,
            aligned["mapped_vectors"],
            aligned["overlaps"],
            bar=bars.direction_cosine,
            shuffled_bar=bars.other_share,
        )

    def _geometry(self, subject: PlantedSubject) -> dict[str, Any]:
        """Return activations, vectors and subspaces, with more neutral texts to learn maps on."""
        vocabulary = Vocabulary(subject.emotions)
        neutral = neutral_prompts(vocabulary, n_texts=3 * subject.model.d_model, seed=0)
        prompts = pd.concat([subject.prompts, neutral], ignore_index=True).drop_duplicates("text")
        data = self.data | {"language_model": subject.model, "prompts": prompts}
        written = self._phases.run("activations", data, {"hook_points": ["resid_post"]})
        written |= self._phases.run("emotion_vectors", data | written, _VECTORS)
        return {
            name: written[name] for name in ("activations", "emotion_vectors", "emotion_subspaces")
        }

    def _ranks(self, heads: tuple[str, ...], *, n_other: int) -> pd.DataFrame:
        """Return head patching's table of shares for a set of heads."""
        parameters = {
            "heads": " ".join(head[1:].replace(".h", ":") for head in heads),
            "ablations": ["mean"],
            "modes": ["pattern_v"],
            "single_heads": False,
            "num_random": 0,
            "num_other": n_other,
            "rank_random": 0,
            "rank_pairs": _N_PAIRS,
        }
        self._run("head_patching", self._heads | parameters, nodes=("change_heads",))
        table: pd.DataFrame = self.data["head_ranks"]
        return table

    def _run(self, phase: str, parameters: dict[str, Any], *, nodes: tuple[str, ...] = ()) -> None:
        self.data |= self._phases.run(phase, self.data, parameters, nodes=nodes)
