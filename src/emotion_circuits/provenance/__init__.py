"""How each result was made: records beside the results, and what follows from them for a run."""

from emotion_circuits.provenance.hook import ProvenanceHook

__all__ = ["ProvenanceHook"]
