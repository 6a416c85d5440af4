"""The emotions of a study: what is known of them, what must be said, and what is refused."""

import pytest

from emotion_circuits.errors import InputError
from emotion_circuits.prompts import EmotionSet

JOYFUL = {"names": ("joy", "sadness", "fear"), "neutral": "calm"}
METRICS = {name: f"goemotions/{name}" for name in JOYFUL["names"]}
WORDS = {"joy": ("glad", "happy"), "sadness": ("sad",), "fear": ("afraid",)}


def test_a_study_that_names_no_emotions_has_three_of_which_all_is_known():
    emotions = EmotionSet()
    assert emotions.names == ("gratitude", "anger", "apology")
    assert emotions.labels == ("gratitude", "anger", "apology", "neutral")
    assert emotions.target_metrics == {
        "gratitude": "goemotions/gratitude",
        "anger": "goemotions/anger",
        "apology": "goemotions/remorse",
    }
    assert set(emotions.marking_words) == set(emotions.names)
    emotions.require(["target_metrics", "marking_words"])


def test_what_a_profile_leaves_empty_is_as_if_it_said_nothing():
    empty = dict.fromkeys(("names", "neutral", "target_metrics", "marking_words"))
    assert EmotionSet.model_validate(empty) == EmotionSet()


def test_of_other_emotions_only_that_is_known_which_is_said():
    emotions = EmotionSet(**JOYFUL, target_metrics=METRICS, marking_words=WORDS)
    assert emotions.labels == ("joy", "sadness", "fear", "calm")
    assert (emotions.target_metrics, emotions.marking_words) == (METRICS, WORDS)
    bare = EmotionSet(**JOYFUL)
    assert bare.target_metrics == bare.marking_words == {}


def test_what_is_known_of_an_emotion_stays_beside_what_is_said_of_others():
    own = {"joy": "goemotions/joy"}
    emotions = EmotionSet(names=("joy", "anger"), target_metrics=own)
    assert emotions.target_metrics == {"anger": "goemotions/anger", **own}
    assert set(emotions.marking_words) == {"anger"}
    changed = EmotionSet(target_metrics={"anger": "mood/cross"})
    assert changed.target_metrics == EmotionSet().target_metrics | {"anger": "mood/cross"}


def test_labels_keep_the_studys_order_and_others_come_last_by_name():
    emotions = EmotionSet(**JOYFUL)
    given = ["zeal", "calm", "fear", "awe", "joy", "sadness"]
    assert emotions.in_order(given) == ["joy", "sadness", "fear", "calm", "awe", "zeal"]
    places = [emotions.place(label) for label in (*emotions.labels, "awe", "zeal")]
    assert places == [0, 1, 2, 3, 4, 4]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        *(
            ({"names": ("joy", name)}, rf"{name!r} cannot be an emotion: .* none of baseline")
            for name in ("baseline", "pooled", "all", "both", "other_emotions")
        ),
        *(
            ({"names": (name,)}, r"cannot be an emotion: names have no blank, dot or slash")
            for name in ("", "mild joy", "joy.a", "joy/a", "joy\n")
        ),
        ({"neutral": "all"}, r"'all' cannot be an emotion"),
        ({"names": ()}, r"give at least one emotion"),
        ({"names": ("joy", "fear", "joy")}, r"an emotion stands twice in the list"),
        ({"names": ("joy", "calm"), "neutral": "calm"}, r"'calm' is both an emotion and the neut"),
        (
            {**JOYFUL, "target_metrics": {**METRICS, "saddness": "goemotions/sadness"}},
            r"target_metrics: emotion 'saddness' is unknown; known: joy, .*; nearest: sadness$",
        ),
        (
            {**JOYFUL, "marking_words": {"feer": ("afraid",)}},
            r"marking_words: emotion 'feer' is unknown; .*; nearest: fear$",
        ),
        (
            {"target_metrics": {"anger": "goemotions.anger"}},
            r"target_metrics of anger is 'goemotions.anger'; it must be metric/label",
        ),
        ({"target_metrics": {"anger": "a/b/c"}}, r"is 'a/b/c'; it must be metric/label"),
        ({"marking_words": {"anger": ()}}, r"marking_words of anger is empty"),
        ({"target_metric": {}}, r"'target_metric' is unknown; .*; nearest: target_metrics"),
    ],
)
def test_what_cannot_be_a_study_is_one_line(given, line):
    for make in (lambda: EmotionSet(**given), lambda: EmotionSet.model_validate(given)):
        with pytest.raises(InputError, match=line) as caught:
            make()
        assert "\n" not in str(caught.value)


def test_what_phases_need_and_a_study_lacks_is_named():
    some = EmotionSet(**JOYFUL, target_metrics={"sadness": "goemotions/sadness"})
    with pytest.raises(
        InputError,
        match=r"^target_metrics are missing for joy, fear; add target_metrics to the profile's "
        r"globals\.yml, by emotion$",
    ):
        some.require(["target_metrics"])
    with pytest.raises(InputError, match=r"^marking_words are missing for joy, sadness, fear;"):
        some.require(["marking_words"])
    some.require([])
    EmotionSet(**JOYFUL, target_metrics=METRICS).require(["target_metrics"])


def test_a_target_metric_that_no_evaluator_gives_is_refused():
    emotions = EmotionSet(**JOYFUL, target_metrics=METRICS)
    known = [*METRICS.values(), "sentiment/positive"]
    emotions.check_metrics(known)
    with pytest.raises(
        InputError,
        match=r"^target metric 'goemotions/fear' is not in the evaluators; known: goemotions/joy, ",
    ):
        emotions.check_metrics(["goemotions/joy", "goemotions/sadness", "goemotions/fears"])
