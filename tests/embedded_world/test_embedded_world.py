"""The emotion is computed from who did what to whom, and held-out combinations stay held out."""

import itertools
import re

import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from emotion_circuits.embedded_world import (
    Event,
    World,
    WorldSettings,
    emotion_of,
    emotion_prompts,
    fresh_neutral_prompts,
    generate_reactions,
    generate_texts,
)
from emotion_circuits.embedded_world.emotions import LABELS
from emotion_circuits.embedded_world.events import I, leaning_of
from emotion_circuits.embedded_world.lexicon import ACTS, OBJECTS, PEOPLE
from emotion_circuits.embedded_world.phrasings import CORES
from emotion_circuits.embedded_world.reactions import GOEMOTIONS, recognize
from emotion_circuits.errors import InputError

SETTINGS = WorldSettings()
DANA, TOM = PEOPLE[:2]


@pytest.fixture(scope="module")
def texts():
    return {
        split: generate_texts(SETTINGS, split=split, n=2000, seed=3)
        for split in ("train", "validation", "test")
    }


# The rule once more, as a table: (actor, owner, kind) to emotion; the rest is neutral.
TRUTH = {
    ("Dana", "I", "help"): "gratitude",
    ("Dana", "I", "harm"): "anger",
    ("I", "Dana", "harm"): "apology",
}


def test_the_emotion_follows_the_truth_table():
    for actor, owner, kind in itertools.product((I, DANA, TOM), (I, DANA, TOM), ACTS):
        event = Event(actor, ACTS[kind][0], "lamp", owner)
        names = [getattr(who, "name", "I").replace("Tom", "Dana") for who in (actor, owner)]
        wanted = TRUTH.get((*names, kind), "neutral") if actor is not owner else "neutral"
        if {actor, owner} == {DANA, TOM}:
            wanted = "neutral"
        assert emotion_of(event) == wanted


def test_swapping_actor_and_owner_turns_anger_into_apology():
    act = ACTS["harm"][0]
    assert emotion_of(Event(DANA, act, "lamp", I)) == "anger"
    assert emotion_of(Event(I, act, "lamp", DANA)) == "apology"


def combinations_in(text, world):
    """Every person named together with an object as a party of one event, by the words alone."""
    things, people = set(world.objects), {person.name for person in world.people}
    words = re.findall(r"\w+", text)
    return {(name, thing) for name in people & set(words) for thing in things & set(words)}


def test_no_text_of_one_split_tells_of_another_splits_combination(texts):
    world = World(SETTINGS)
    person_of = {person.name: person for person in world.people}
    for split, table in texts.items():
        told = {(row.person, row.object) for row in table.itertuples() if row.person}
        assert {world.split_of(person_of[name], thing) for name, thing in told} == {split}


def test_every_named_party_of_a_single_event_text_is_of_its_split(texts):
    world = World(SETTINGS)
    person_of = {person.name: person for person in world.people}
    for split, table in texts.items():
        alone = table[table["template_id"].str.endswith("/alone")]
        assert len(alone) > 100
        for situation in alone["situation"]:
            for name, thing in combinations_in(situation, world):
                assert world.split_of(person_of[name], thing) == split, situation


def test_splits_share_no_text(texts):
    for one, other in itertools.combinations(texts.values(), 2):
        assert not set(one["situation"]) & set(other["situation"])


def test_the_split_is_made_before_any_text_and_depends_on_the_combination_alone():
    world, larger = World(SETTINGS), World(WorldSettings(n_people=60, n_objects=70))
    for person, thing in itertools.product(PEOPLE[:28], OBJECTS[:48]):
        assert world.split_of(person, thing) == larger.split_of(person, thing)


def test_same_seed_same_texts_and_another_seed_others():
    first, again, other = (
        generate_texts(SETTINGS, split="train", n=200, seed=seed) for seed in (1, 1, 2)
    )
    assert first.equals(again)
    assert not first["text"].equals(other["text"])


def test_reactions_express_the_emotion_of_their_situation(texts):
    table = texts["train"]
    for row in table.itertuples():
        assert recognize(row.reaction).emotion == row.expressed
    emotional = table[table["emotion"] != "neutral"]
    assert (emotional["emotion"] == emotional["expressed"]).all()
    swayed = (table[table["emotion"] == "neutral"]["expressed"] != "neutral").mean()
    assert 0.08 < swayed < 0.18


def test_a_reaction_says_one_emotion_twice_in_different_words(texts):
    core_of = {core.id: core for core in CORES}
    for row in texts["train"].itertuples():
        first, second = (core_of[name] for name in row.reaction_template_id.split("+")[:2])
        assert first.emotion == second.emotion == row.expressed
        assert first.group != second.group


@pytest.mark.parametrize("manner", ["politeness", "intensity"])
def test_how_something_is_said_is_independent_of_the_emotion(texts, manner):
    table = pd.concat(texts.values())
    counts = pd.crosstab(table["expressed"], table[manner])
    shares = counts.div(counts.sum(axis=1), axis=0)
    assert (shares.max() - shares.min()).max() < 0.06
    assert shares.to_numpy().min() > 0.1


def test_habits_make_the_reaction_follow_from_the_situation_and_chance_does_not():
    def said(habit_share):
        settings = SETTINGS.model_copy(
            update={"habit_share": habit_share, "neutral_emotional_share": 0, "leaning_share": 0}
        )
        table = generate_texts(settings, split="train", n=6000, seed=3)
        return table.groupby(["emotion", "person", "object", "act"])["reaction"].agg(
            ["nunique", "size"]
        )

    habitual, random = said(1.0), said(0.0)
    assert (habitual["size"] > 1).sum() > 50
    assert (habitual["nunique"] == 1).all()
    assert (random.loc[random["size"] > 1, "nunique"] > 1).mean() > 0.9


EMOTION_WORDS = re.compile(
    r"\b(grateful|gratitude|thank|appreciate|angr|anger|fur|rage|outrage|sorry|guilt|regret|asham|"
    r"shame|rue)",
    re.IGNORECASE,
)


def test_implicit_situations_hold_no_word_for_an_emotion_and_explicit_ones_do(texts):
    for row in texts["train"].itertuples():
        assert bool(EMOTION_WORDS.search(row.situation)) == row.explicit, row.situation
    prompts = emotion_prompts(SETTINGS)
    for row in prompts.itertuples():
        assert bool(EMOTION_WORDS.search(row.text)) == row.explicit, row.text


def test_words_for_an_emotion_stand_at_many_places_after_the_event(texts):
    table = texts["train"]
    places = []
    for row in table[table["explicit"]].itertuples():
        sentences = row.situation.removesuffix(".").split(". ")
        places += [
            index - len(sentences)
            for index, sentence in enumerate(sentences)
            if EMOTION_WORDS.search(sentence)
        ]
    shares = pd.Series(places).value_counts(normalize=True)
    assert (shares[[-1, -2]] > 0.2).all()
    assert shares[-3] > 0.03


def test_only_acts_of_no_consequence_between_me_and_another_lean_to_an_emotion():
    asked, pointed = (
        next(act for act in ACTS["none"] if act.past == past)
        for past in ("asked about", "pointed at")
    )
    assert leaning_of(Event(DANA, asked, "lamp", I)) == "gratitude"
    assert leaning_of(Event(DANA, pointed, "lamp", I)) == "anger"
    assert leaning_of(Event(I, pointed, "lamp", DANA)) == "apology"
    assert leaning_of(Event(I, asked, "lamp", DANA)) is None
    for actor, owner in ((DANA, TOM), (DANA, DANA), (I, I)):
        assert leaning_of(Event(actor, pointed, "lamp", owner)) is None
    for act in (*ACTS["help"], *ACTS["harm"]):
        assert leaning_of(Event(DANA, act, "lamp", I)) is None


def test_half_of_the_emotion_texts_name_it_and_neutral_ones_never(texts):
    table = texts["train"]
    shares = table.groupby("emotion")["explicit"].mean()
    assert shares["neutral"] == 0
    assert shares.drop("neutral").between(0.4, 0.6).all()


def test_cues_occur_once(texts):
    for row in texts["test"].itertuples():
        assert row.situation.count(row.cue) == 1


def phrasings_in(table):
    """Every sentence and frame by its id, of which a reaction is put together."""
    return {part for row in table["reaction_template_id"] for part in row.split("+")}


def test_evaluators_learn_other_phrasings_than_language_models_say(texts):
    said = phrasings_in(texts["train"])
    learned = {
        phrasing
        for split in ("train", "validation")
        for phrasing in phrasings_in(generate_reactions(SETTINGS, split=split, n=4000, seed=0))
    }
    assert len([phrasing for phrasing in said if phrasing.count("/") == 2]) == 80
    # What nobody adds to a reaction is the same for all.
    assert said & learned == {"neutral/0", "plain/0"}
    assert phrasings_in(generate_reactions(SETTINGS, split="test", n=4000, seed=0)) == said


def test_phrasings_are_told_apart_and_their_labels_are_goemotions():
    for core in CORES:
        assert recognize(core.text.format(name="Dana", object="lamp")).emotion == core.emotion
        assert set(core.goemotions) <= set(GOEMOTIONS)
    assert len({core.text for core in CORES}) == len(CORES) == 160


def test_the_prompts_are_sets_of_four_that_differ_in_little():
    table = emotion_prompts(SETTINGS)
    assert table["emotion"].value_counts().to_dict() == dict.fromkeys(LABELS, 225)
    assert table["text"].is_unique
    by_pair = table.groupby("pair_id")
    assert (by_pair["emotion"].apply(tuple) == LABELS).all()
    assert (by_pair["template_id"].nunique() == 1).all()
    assert (table.groupby("template_id")["split"].nunique() == 1).all()
    world = World(SETTINGS)
    objects = [set(re.findall(r"\w+", text)) & set(world.objects) for text in table["text"]]
    for pair in range(0, len(objects), 4):
        assert len({frozenset(found) for found in objects[pair : pair + 4]}) == 1


def test_words_alone_hardly_tell_anger_from_apology():
    table = emotion_prompts(SETTINGS, n_per_emotion=300, seed=5)
    explicit = table.groupby("pair_id")["explicit"].transform("any")
    implicit = table[~explicit & table["emotion"].isin(["anger", "apology"])]
    train, test = (implicit[implicit["split"] == split] for split in ("train", "test"))
    words = CountVectorizer(token_pattern=r"(?u)\b\w+\b").fit(train["text"])
    probe = LogisticRegression(max_iter=2000)
    probe.fit(words.transform(train["text"]), train["emotion"] == "anger")
    scores = probe.decision_function(words.transform(test["text"]))
    assert roc_auc_score(test["emotion"] == "anger", scores) <= 0.75


def test_a_world_too_small_for_the_prompts_says_so():
    with pytest.raises(InputError, match="test split has none of 32 combinations; enlarge"):
        emotion_prompts(WorldSettings(n_people=4, n_objects=8, test_share=1e-9))
    with pytest.raises(InputError, match="nearest: train"):
        generate_texts(SETTINGS, split="trian", n=1, seed=0)


def test_fresh_neutral_prompts_are_in_no_dataset_and_of_held_out_templates():
    dataset = emotion_prompts(SETTINGS, n_per_emotion=60)
    fresh = fresh_neutral_prompts(SETTINGS, dataset["text"], n=40)
    assert set(fresh["emotion"]) == {"neutral"}
    assert fresh["text"].is_unique
    assert not set(fresh["text"]) & set(dataset["text"])
    train = dataset[dataset["split"] == "train"]
    assert not set(fresh["template_id"]) & set(train["template_id"])
    # The control: without the dataset, the same seed draws the dataset's own texts.
    same = fresh_neutral_prompts(SETTINGS, [], n=10, seed=0)
    assert set(same["text"]) & set(dataset["text"])
    with pytest.raises(InputError, match="n is 5, but the world gave only 0 fresh"):
        fresh_neutral_prompts(SETTINGS, [], n=5, test_share=0)
