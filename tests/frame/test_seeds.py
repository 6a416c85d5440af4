"""Streams belong to names: the same anywhere, independent of each other, and made in one place."""

import json
import re
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from emotion_circuits.seeds import rng_for, seed_for

NAMES = list(product(("random", "shuffled"), ("anger", "joy", "neutral"), range(5), range(20)))


def test_a_name_has_the_same_stream_in_every_process_and_version():
    # Written down once: whoever changes these numbers draws every result anew.
    assert rng_for(0, "bootstrap", 110, None).integers(0, 1000, 4).tolist() == [994, 804, 666, 198]
    assert seed_for(0, "random", "anger", 3, 7) == 6393677626762139003


def test_names_and_seeds_are_told_apart():
    for make in (seed_for, lambda *name: rng_for(*name).random()):
        drawn = {make(seed, *name) for seed in (0, 1) for name in NAMES}
        assert len(drawn) == 2 * len(NAMES)
        assert make(0) != make(0, 0) != make(0, 0, 0)
        assert make(0, "ab", "c") != make(0, "a", "bc")
        assert make(0, 1, 2) == make(0, "1", "2")


def test_numpy_alone_does_not_tell_numbers_apart():
    """The reason why a stream has a name."""
    assert np.random.default_rng([5, 0]).random() == np.random.default_rng(5).random()


@pytest.mark.parametrize(
    "streams",
    [
        [rng_for(0, *name) for name in NAMES],
        [rng_for(seed, "anger") for seed in range(600)],
        [np.random.default_rng(seed_for(0, *name)) for name in NAMES],
    ],
    ids=["names", "seeds", "kept seeds"],
)
def test_streams_of_neighbours_are_independent(streams):
    drawn = np.stack([stream.random(40) for stream in streams])
    assert stats.kstest(drawn.ravel(), "uniform").pvalue > 0.01
    between = np.corrcoef(drawn)[np.triu_indices(len(drawn), 1)]
    # A correlation of 40 independent pairs has a deviation of 1 / √39.
    assert np.abs(between).max() < 6 / np.sqrt(39)
    assert between.std() == pytest.approx(1 / np.sqrt(39), rel=0.02)


def test_a_seed_that_is_kept_in_a_result_makes_the_draw_again(tmp_path):
    seeds = [seed_for(1, *name) for name in NAMES]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62  # all 63 bits are used
    assert json.loads(json.dumps(seeds)) == seeds
    pd.DataFrame({"seed": seeds}).to_csv(tmp_path / "kept.csv", index=False)
    kept = pd.read_csv(tmp_path / "kept.csv")["seed"]
    assert kept.dtype == np.int64
    first, again = (np.random.default_rng(seed).random(9) for seed in (seeds[7], int(kept[7])))
    np.testing.assert_array_equal(first, again)


# What makes a stream, and who may: see the module's docstring. A control's direction is drawn
# again from the seed that is kept with it.
PATTERN = re.compile(r"default_rng\(|SeedSequence\(|manual_seed\(|from random import|import random")
OWN = (
    *("seeds.py", "interventions", "training", "embedded_world", "experiments/directions.py"),
    "language_models/loading.py",  # weights of an untrained copy, from the seed of its model entry
)


def test_only_named_streams_are_drawn_from(project_root):
    source = project_root / "src" / "emotion_circuits"
    inside, outside = set(), []
    for path in sorted(source.rglob("*.py")):
        place = path.relative_to(source).as_posix()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if PATTERN.search(line):
                if place.startswith(OWN):
                    inside.add(place)
                else:
                    outside.append(f"{place}:{number}: {line.strip()}")
    assert len(inside) >= len(OWN)  # the pattern finds streams where there are some
    assert not outside, "streams without a name:\n" + "\n".join(outside)
