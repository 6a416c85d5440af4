"""Word probes: scored on unseen templates; a planted confound is found, shuffled labels are not."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from emotion_circuits.prompts.implicit import implicit_texts
from emotion_circuits.prompts.style import style_of
from emotion_circuits.prompts.word_probes import N_FOLDS, SUBSETS, VIEWS, probe_words
from study_emotions import FOUR

THINGS = ("lamp", "kettle", "radio", "chair", "coat", "kite", "watch", "bowl")
ACTS = ("mend", "paint", "visit", "open", "clean", "turn", "count", "move")


def scenarios(n_templates=40, per_template=3, confound=None, seed=0):
    """Four texts a scenario with the same words in another order; the label is in none of them.

    ``confound`` changes a text of a given label.
    """
    rng, lines = np.random.default_rng(seed), []
    for template in range(n_templates):
        place = rng.choice(["at home", "in town", "by the river", "on the hill"])
        for number in range(per_template):
            thing, act, other = rng.choice(THINGS), rng.choice(ACTS), rng.choice(ACTS)
            for label in FOUR.labels:
                text = f"{place} I {act} the {thing} or you {other} it"
                text = confound(text, label, act) if confound else text
                lines.append((text, label, f"p{template}.{number}", str(template)))
    table = pd.DataFrame(lines, columns=["text", "emotion", "pair_id", "template_id"])
    return table.assign(explicit=False)


def past_tense(text, label, act):
    return text if label == "neutral" else text.replace(f"I {act}", f"I {act}ed")


def run(prompts, **options):
    options = {"n_shuffles": 2, "min_templates": 20, "seed": 0} | options
    return {
        (probe.subset, probe.view, probe.contrast): probe
        for probe in probe_words(prompts, FOUR, **options)
    }


def aurocs(probe):
    return [roc_auc_score(probe.positive, scores) for scores in probe.scores]


def test_every_contrast_view_and_subset_has_a_probe():
    probes = run(scenarios(n_templates=20, per_template=1))
    contrasts = list(combinations(FOUR.labels, 2))
    assert list(probes) == [(s, v, c) for s in SUBSETS for v in VIEWS for c in contrasts]
    for (_, _, contrast), probe in probes.items():
        assert len(probe.positive) == 40
        assert probe.positive.sum() == 20
        assert probe.contrast == contrast


def test_scores_are_those_of_a_pipeline_that_counts_words_within_each_fold():
    prompts = scenarios(confound=past_tense)
    probe = run(prompts)["all", "style", ("anger", "neutral")]
    texts = prompts.loc[prompts["emotion"].isin(["anger", "neutral"]), "text"].to_numpy()
    styles = np.array([" ".join(style_of(text)) for text in texts])
    for folds, scores in zip(probe.folds, probe.scores, strict=True):
        for fold in range(N_FOLDS):
            held_out = folds == fold
            reference = make_pipeline(
                CountVectorizer(lowercase=False, token_pattern=r"\S+", ngram_range=(1, 2)),
                LogisticRegression(solver="liblinear"),
            ).fit(styles[~held_out], probe.positive[~held_out])
            expected = reference.decision_function(styles[held_out])
            # liblinear stops at a tolerance of 1e-4, from columns in another order.
            np.testing.assert_allclose(scores[held_out], expected, atol=5e-3)


def test_a_template_lies_within_one_fold_and_its_labels_do_not_move_its_scores():
    prompts = scenarios(confound=past_tense)
    before = run(prompts)["all", "bag_of_words", ("gratitude", "neutral")]
    for folds in before.folds:
        assert (pd.Series(folds).groupby(before.templates).nunique() == 1).all()
        assert set(folds) == set(range(N_FOLDS))
    swap = {"gratitude": "neutral", "neutral": "gratitude"}
    first = prompts["template_id"] == "0"
    swapped = prompts.assign(
        emotion=prompts["emotion"].where(~first, prompts["emotion"].replace(swap))
    )
    after = run(swapped)["all", "bag_of_words", ("gratitude", "neutral")]
    own = before.templates == "0"
    assert (before.positive[own] != after.positive[own]).all()
    np.testing.assert_array_equal(before.scores[:, own], after.scores[:, own])
    # The control: they are among the training texts of the other folds.
    assert not np.array_equal(before.scores[:, ~own], after.scores[:, ~own])


def test_a_tense_of_the_emotion_texts_is_found_by_style_and_between_emotions_is_not():
    probes = run(scenarios(confound=past_tense))
    for emotion in FOUR.names:
        assert min(aurocs(probes["all", "style", (emotion, "neutral")])) > 0.99
    for contrast in combinations(FOUR.names, 2):
        # The texts of two emotions are the same, so that all comparisons tie.
        assert aurocs(probes["all", "style", contrast]) == [0.5, 0.5]


def test_a_word_of_content_is_found_by_all_words_alone():
    def another_thing(text, label, act):
        return text.replace("the", "the iron" if label == "anger" else "the tin")

    probes = run(scenarios(confound=another_thing))
    assert min(aurocs(probes["all", "bag_of_words", ("anger", "neutral")])) > 0.99
    assert aurocs(probes["all", "style", ("anger", "neutral")]) == [0.5, 0.5]


def test_words_that_only_name_a_template_tell_nothing():
    """Each text has a word that tells its label within its template, and occurs in no other."""
    prompts = scenarios()
    prompts["text"] += [
        f" {label}{chr(97 + int(template) // 26)}{chr(97 + int(template) % 26)}"
        for template, label in zip(prompts["template_id"], prompts["emotion"], strict=True)
    ]
    probe = run(prompts)["all", "bag_of_words", ("anger", "neutral")]
    assert aurocs(probe) == [0.5, 0.5]


def test_implicit_texts_are_those_of_pairs_in_which_no_emotion_is_named():
    prompts = scenarios(n_templates=60, per_template=1)
    named = prompts["pair_id"].isin([f"p{template}.0" for template in range(0, 60, 3)])
    prompts["explicit"] = named & (prompts["emotion"] != "neutral")
    assert implicit_texts(prompts, FOUR).equals(~named.rename("pair_id"))
    probes = run(prompts)
    assert len(probes["all", "style", ("anger", "neutral")].positive) == 120
    implicit = probes["implicit", "style", ("anger", "neutral")]
    assert len(implicit.positive) == 80
    assert not set(implicit.templates) & {str(template) for template in range(0, 60, 3)}


def test_too_few_templates_give_no_scores_but_a_reason():
    few = scenarios(n_templates=19, per_template=5)
    for probe in run(few).values():
        assert probe.scores is None
        assert probe.reason.endswith(" has texts of 19 templates; at least 20 are needed")
        assert probe.reason.split()[0] in probe.contrast
    one_less = scenarios(n_templates=20).query("template_id != '3' or emotion != 'apology'")
    reasons = {probe.contrast: probe.reason for probe in run(one_less).values()}
    assert reasons["apology", "neutral"] == reasons["anger", "apology"]
    assert reasons["apology", "neutral"].startswith("apology has texts of 19 templates")
    assert reasons["anger", "neutral"] == ""


@pytest.mark.slow
def test_the_same_seed_gives_the_same_scores_whatever_else_is_probed():
    prompts = scenarios(confound=past_tense)
    key = ("all", "style", ("anger", "neutral"))
    first, again, other = run(prompts), run(prompts), run(prompts, seed=1)
    np.testing.assert_array_equal(first[key].scores, again[key].scores)
    assert not np.array_equal(first[key].folds, other[key].folds)
    alone = run(prompts[prompts["emotion"].isin(["anger", "neutral"])])
    np.testing.assert_array_equal(first[key].folds, alone[key].folds)
    more = run(prompts, n_shuffles=3)
    np.testing.assert_array_equal(first[key].folds, more[key].folds[:2])


def test_of_a_large_dataset_so_many_texts_per_label_are_read_of_templates_at_random():
    prompts = scenarios(n_templates=60, per_template=2)
    probe = run(prompts, max_texts=61)["all", "style", ("anger", "neutral")]
    assert probe.positive.sum() == (~probe.positive).sum() == 61
    read = set(probe.templates)
    assert len(read) == 31
    assert read != {str(template) for template in range(31)}
    enough = run(prompts, max_texts=120)["all", "style", ("anger", "neutral")]
    assert len(enough.positive) == 240
