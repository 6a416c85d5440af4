"""The table of effects: one line per comparison, with effect size, intervals and tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Float

from emotion_circuits.errors import InputError
from emotion_circuits.seeds import rng_for
from emotion_circuits.statistics.comparisons import (
    Comparison,
    ComparisonKey,
    Pairs,
    Summary,
    pair_by_text,
)
from emotion_circuits.statistics.directions import DirectionTest, compare_with_directions
from emotion_circuits.statistics.effect_options import COLUMNS, MORE_COLUMNS, EffectOptions
from emotion_circuits.statistics.effect_rows import SIGN_FLIP, EffectRows, cluster_codes
from emotion_circuits.statistics.multiplicity import correct_family
from emotion_circuits.statistics.permutation import sign_flip_test, sign_flips

_SIGN_FLIPS: Final = ["p_value_sign_flip", "p_value_max_t"]
_INTEGERS: Final = (
    *("layer", "head", "n_baseline", "n_patched", "n_clusters", "n_nan_dropped"),
    *("n_repeats_averaged", "n_random", "family_size"),
)


def effect_table(
    comparisons: Iterable[Comparison | Summary], options: EffectOptions
) -> pd.DataFrame:
    """Compute effect size, intervals and p-values of every comparison.

    Args:
        comparisons: Comparisons in any order.
        options: Options of the computation.

    Returns:
        One line per comparison in a fixed order, with ``COLUMNS`` and ``MORE_COLUMNS``.

    Raises:
        InputError: If two comparisons have the same key, or a text has no cluster.
    """
    ordered = sorted(comparisons, key=lambda comparison: comparison.key.order(options.labels))
    _check_distinct([comparison.key for comparison in ordered])
    _check_clusters(ordered, options)
    effects = EffectRows(len(ordered), options)
    pairs: dict[int, Pairs] = {}
    unmatched: dict[int, Comparison] = {}
    summaries: dict[int, Summary] = {}
    directions: dict[int, DirectionTest] = {}
    for index, item in enumerate(ordered):
        if isinstance(item, Summary):
            summaries[index] = item
            continue
        repeated = item.baseline.n_repeated + item.patched.n_repeated
        effects.fill([index], n_repeats_averaged=repeated)
        matched = pair_by_text(item.baseline, item.patched)
        if options.paired and (matched.texts or matched.n_nan):
            pairs[index] = matched
        else:
            unmatched[index] = item
        if item.draws:
            directions[index] = compare_with_directions(matched, item.draws)
    effects.add_pairs(pairs)
    effects.add_groups(unmatched)
    effects.add_summaries(summaries)
    effects.add_directions(directions)
    effects.add_margins()
    keys = pd.DataFrame([item.key for item in ordered], columns=list(ComparisonKey._fields))
    table = pd.concat([keys, pd.DataFrame(effects.columns)], axis=1)
    # Over texts, a sign-flip test finds nearly every direction different from random ones.
    over_texts = {index: of for index, of in pairs.items() if index not in directions}
    return _tidy(_with_corrections(table, over_texts, options))


def _check_distinct(keys: list[ComparisonKey]) -> None:
    """Refuse equal keys, which would count one comparison twice."""
    for former, key in pairwise(keys):
        if former == key:
            raise InputError(f"two results stand for the same comparison: {key._asdict()}")


def _check_clusters(items: Iterable[Comparison | Summary], options: EffectOptions) -> None:
    """Refuse texts without a cluster, which would count as independent of all others."""
    if options.clusters is None:
        return
    texts = {
        text
        for item in items
        if isinstance(item, Comparison)
        for sample in (item.baseline, item.patched)
        for text in sample.values
    }
    lost = sorted(texts - options.clusters.keys())
    if lost:
        raise InputError(
            f"texts are to be clustered, and {len(lost)} of {len(texts)} have no cluster, the "
            f"first {lost[0][:60]!r}; give their prompts a template_id (dataset, or fresh_prompts "
            "of the profile), or set cluster_by to none"
        )


def _with_corrections(
    table: pd.DataFrame, pairs: Mapping[int, Pairs], options: EffectOptions
) -> pd.DataFrame:
    """Add the corrected p-values of each family."""
    names = table[list(options.family)].astype(str) if options.family else None
    family = pd.Series("all", index=table.index)
    if names is not None and len(table):
        family = names.agg("/".join, axis=1)
    claim = np.where(table["confirmatory"].astype(bool), "/confirmatory", "/exploratory")
    family = family + np.where(table["control"].astype(bool), "/control", claim)
    table = table.assign(family=family, significant_bonferroni=False, significant_fdr=False)
    for name, members in table.groupby("family").groups.items():
        known = np.isfinite(table.loc[members, "cohen_d"].to_numpy(dtype=np.float64))
        tested = [index for index in members[known] if index in pairs]
        if tested:
            family_pairs = {index: pairs[index] for index in tested}
            table.loc[tested, _SIGN_FLIPS] = _sign_flip_family(family_pairs, str(name), options)
            few = [index for index in tested if table.at[index, "test"] == "cluster_t"]
            few = [index for index in few if table.at[index, "few_clusters"]]
            table.loc[few, "p_value"] = table.loc[few, "p_value_sign_flip"]
            table.loc[few, "test"] = SIGN_FLIP
        corrected = correct_family(table.loc[members, "p_value"].to_numpy(), alpha=options.alpha)
        for column, values in corrected._asdict().items():
            table.loc[members, column] = values
        table.loc[members, "family_size"] = len(members)
    return table


def _sign_flip_family(
    pairs: Mapping[int, Pairs], family: str, options: EffectOptions
) -> Float[np.ndarray, "row 2"]:
    """Return sign-flip p-values of a family; a text's sign is the same in all comparisons."""
    texts = sorted({text for values in pairs.values() for text in values.texts})
    columns_of = {text: column for column, text in enumerate(texts)}
    differences = np.full((len(pairs), len(texts)), np.nan)
    for index, values in enumerate(pairs.values()):
        columns = [columns_of[text] for text in values.texts]
        differences[index, columns] = values.patched - values.baseline
    codes = cluster_codes(texts, options.clusters)
    flips = sign_flips(
        len(texts),
        n_permutations=options.n_permutations,
        rng=rng_for(options.seed, "sign_flip", family),
        clusters=None if codes is None else np.array(codes, dtype=np.int64),
    )
    return np.stack(sign_flip_test(differences, flips, n_jobs=options.n_jobs), axis=1)


def _tidy(table: pd.DataFrame) -> pd.DataFrame:
    """Order the columns and set their types."""
    tidy = table[[*COLUMNS, *MORE_COLUMNS]].copy()
    for name in _INTEGERS:
        tidy[name] = tidy[name].astype("Int64")
    # Numbers of pairs are whole; two groups of 5 and 7 texts count as 2.92 pairs.
    if (tidy["n_effective"] % 1 == 0).all():
        tidy["n_effective"] = tidy["n_effective"].astype("Int64")
    for name in ("paired", "significant_bonferroni", "significant_fdr"):
        tidy[name] = tidy[name].astype(bool)
    tidy["alpha"] = tidy["alpha"].astype("float64")
    return tidy
