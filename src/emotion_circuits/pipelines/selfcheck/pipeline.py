"""The selfcheck as a pipeline, which runs the study's other pipelines in memory."""

from collections.abc import Mapping

import pandas as pd
from kedro.pipeline import Node, Pipeline

from emotion_circuits.node_marks import reads_more_than_its_inputs
from emotion_circuits.pipelines.selfcheck.nodes import examine_models, judge_recovery
from emotion_circuits.pipelines.selfcheck.phases import Phases
from emotion_circuits.pipelines.selfcheck.settings import SelfcheckSettings


def create_pipeline(pipelines: Mapping[str, Pipeline]) -> Pipeline:
    """Create the pipeline from planted models to a table of comparisons, and an error.

    Args:
        pipelines: By name, the phases' pipelines without namespaces: ``activations``,
            ``emotion_vectors``, ``alignment``, ``residual_patching``, ``head_screening``,
            ``head_patching``, ``circuits`` and ``head_roles``.
    """
    phases = Phases(pipelines)

    @reads_more_than_its_inputs
    def examine_planted_models(settings: SelfcheckSettings) -> pd.DataFrame:
        """Run the phases on every model, and compare what they recover with what is true."""
        return examine_models(phases, settings)

    tags = ["selfcheck"]
    return Pipeline(
        [
            Node(
                examine_planted_models,
                inputs="params:selfcheck",
                outputs="selfcheck",
                name="examine_planted_models",
                tags=tags,
            ),
            Node(
                judge_recovery,
                inputs="selfcheck",
                outputs=None,
                name="judge_recovery",
                tags=tags,
            ),
        ]
    )
