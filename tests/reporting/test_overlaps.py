"""The figure of overlaps has a panel for each pair of layers and emotion."""

import numpy as np
import pandas as pd
import pytest

from emotion_circuits.reporting import draw_overlaps
from study_emotions import FOUR

LAYERS = ((0, 0), (1, 1), (2, 3))


@pytest.fixture(scope="module")
def overlaps():
    rng = np.random.default_rng(0)
    names = ("overlap_after", "overlap_before", "overlap_other_emotions", "ceiling", "null_p95")
    return pd.DataFrame(
        {
            "model_a": "a",
            "model_b": "b",
            "method": "ridge",
            "layer_a": layer_a,
            "layer_b": layer_b,
            "emotion": emotion,
            "k": k,
            **dict(zip(names, rng.random(5), strict=True)),
        }
        for layer_a, layer_b in LAYERS
        for emotion in FOUR.labels
        for k in (1, 2, 3)
    )


def test_there_is_a_panel_for_each_layer_and_emotion(overlaps):
    figure = draw_overlaps(overlaps, FOUR)
    titles = {note.text for note in figure.layout.annotations}
    assert titles == {*FOUR.names, "layers 0 → 0", "layers 1 → 1", "layers 2 → 3"}
    after = [trace for trace in figure.data if trace.name == "after mapping"]
    assert len(after) == 9
    wanted = overlaps.query("layer_a == 0 and emotion == 'gratitude'")["overlap_after"]
    np.testing.assert_allclose(after[0].y, wanted)


def test_an_emotion_without_overlaps_has_no_panel(overlaps):
    figure = draw_overlaps(overlaps[overlaps["emotion"] != "anger"], FOUR)
    titles = {note.text for note in figure.layout.annotations}
    assert {"gratitude", "apology"} <= titles
    assert "anger" not in titles
