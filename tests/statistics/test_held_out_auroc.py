"""AUROC of cross-validated scores: a slow count agrees, and the interval covers."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from emotion_circuits.statistics.held_out_auroc import held_out_auroc


def sample(n_groups, shift, seed):
    """Groups of one to five samples that share a part of each feature; classes mix in a group."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), rng.integers(1, 6, n_groups))
    positive = rng.random(len(groups)) < 0.5
    features = rng.normal(size=(len(groups), 2)) + rng.normal(size=(n_groups, 2))[groups]
    features[:, 0] += shift * positive
    return features, positive, groups.astype(str)


def cross_validate(features, positive, groups, n_shuffles=2, n_folds=5):
    scores, folds = np.empty((2, n_shuffles, len(positive)))
    for shuffle in range(n_shuffles):
        divide = GroupKFold(n_folds, shuffle=True, random_state=shuffle)
        for fold, (fitted, held_out) in enumerate(divide.split(features, positive, groups)):
            probe = LogisticRegression().fit(features[fitted], positive[fitted])
            scores[shuffle, held_out] = probe.decision_function(features[held_out])
            folds[shuffle, held_out] = fold
    return scores, folds.astype(int)


def test_the_estimate_is_the_mean_of_each_folds_auroc_weighted_by_its_comparisons():
    features, positive, groups = sample(30, 1.0, 0)
    scores, folds = cross_validate(features, positive, groups)
    values, weights = [], []
    for score, fold in zip(scores, folds, strict=True):
        for number in range(5):
            held_out = fold == number
            values.append(roc_auc_score(positive[held_out], score[held_out]))
            weights.append(positive[held_out].sum() * (~positive[held_out]).sum())
    seen = held_out_auroc(scores, positive, folds=folds, groups=groups)
    assert seen.auroc == pytest.approx(np.average(values, weights=weights), abs=1e-12)
    assert seen.ci_lower < seen.auroc < seen.ci_upper


def test_the_jackknife_is_what_leaving_each_group_out_gives():
    features, positive, groups = sample(12, 1.0, 3)
    scores, folds = cross_validate(features, positive, groups)
    left_out = []
    for name in np.unique(groups):
        kept = groups != name
        left_out.append(
            held_out_auroc(
                scores[:, kept], positive[kept], folds=folds[:, kept], groups=groups[kept]
            ).auroc
        )
    seen = held_out_auroc(scores, positive, folds=folds, groups=groups)
    logit = np.log(seen.ci_upper / (1 - seen.ci_upper)) - np.log(seen.auroc / (1 - seen.auroc))
    error = np.sqrt((1 + 5 / 4) * 11 * np.var(left_out)) / (seen.auroc * (1 - seen.auroc))
    assert logit == pytest.approx(2.200985 * error, rel=1e-6)  # t.ppf(.975, 11)


def test_one_class_or_one_group_has_no_estimate():
    scores = np.zeros((1, 4))
    folds = np.zeros((1, 4), dtype=int)
    one_class = np.ones(4, dtype=bool)
    mixed = np.array([True, False, True, False])
    four, one = np.array(list("abcd")), np.array(list("aaaa"))
    for positive, groups in ((one_class, four), (mixed, one)):
        seen = held_out_auroc(scores, positive, folds=folds, groups=groups)
        assert np.isnan([seen.auroc, seen.ci_lower, seen.ci_upper]).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_perfect_separation_is_uncertain_with_few_groups(sign):
    lengths = []
    for n_groups in (8, 40):
        features, positive, groups = sample(n_groups, 50.0, 1)
        scores, folds = cross_validate(features, positive, groups)
        seen = held_out_auroc(sign * scores, positive, folds=folds, groups=groups)
        assert seen.auroc == (sign > 0)
        lengths.append(seen.ci_upper - seen.ci_lower)
    assert lengths[0] > 2 * lengths[1] > 0.05


def test_a_rule_that_new_groups_break_now_and_then_is_not_certain():
    """One group of forty is scored the wrong way: eight groups mostly do not show it."""
    covered = perfect = 0
    truth = 0.975
    folds = np.tile(np.arange(8).repeat(2) // 2, (1, 1))
    positive = np.tile([True, False], 8)
    for seed in range(400):
        wrong = np.random.default_rng(seed).random(8) < 1 - truth
        scores = np.where(positive ^ wrong.repeat(2), 1.0, 0.0)[None]
        groups = np.arange(8).repeat(2).astype(str)
        seen = held_out_auroc(scores, positive, folds=folds, groups=groups)
        covered += seen.ci_lower <= truth <= seen.ci_upper
        perfect += seen.auroc == 1
    assert 0.7 < perfect / 400 < 0.9
    assert covered / 400 > 0.93


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_the_interval_covers_the_auroc_on_new_groups(shift):
    """What a probe fitted on four fifths of 40 groups does on many new groups, on average."""
    target = []
    for seed in range(60):
        features, positive, groups = sample(32, shift, 10_000 + seed)
        probe = LogisticRegression().fit(features, positive)
        new, new_positive, _ = sample(1500, shift, 20_000 + seed)
        target.append(roc_auc_score(new_positive, probe.decision_function(new)))
    truth, covered = np.mean(target), 0
    for seed in range(400):
        features, positive, groups = sample(40, shift, seed)
        scores, folds = cross_validate(features, positive, groups)
        seen = held_out_auroc(scores, positive, folds=folds, groups=groups)
        covered += seen.ci_lower <= truth <= seen.ci_upper
    assert covered / 400 > 0.92
