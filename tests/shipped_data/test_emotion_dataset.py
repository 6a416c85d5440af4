"""The dataset that ships: what its page promises, counted from the files themselves.

The emotion words are listed here a second time, as whole words, so that the flag in the
file is checked against something other than the list that the pipeline uses.

Implicit texts name no emotion. On them, words without their composition must tell little: a
logistic regression on counts is fitted on some templates and scored on the others.
"""

import itertools
import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

DATA = Path(__file__).parents[2] / "data"
EMOTIONS = ("gratitude", "anger", "apology")
NAMED = re.compile(
    r"\b(appreciation|appreciates|angrier|thanks?|thanked|thanking|thankful|grateful|gratitude|appreciated?|indebted|obliged|"
    r"angry|anger|furious|fury|livid|mad|outraged?|outrageous|enraged|annoyed|annoyance|"
    r"irritated|fuming|seething|fed up|resent(?:s|ed)?|infuriates|irate|"
    r"sorry|apolog(?:y|ies|ise|ised|ize|ized|ising)|forgive|forgiveness|regrets?|regretted|"
    r"ashamed|guilt|guilty|remorse|pardon)\b",
    re.IGNORECASE,
)

TOKEN = re.compile(r"[A-Za-z]+(?:'[a-z]+)?|\d+|[^\sA-Za-z\d]")
ENDINGS = ("ed", "ing", "ly", "est", "er", "s")
FUNCTION_WORDS = """
    i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his
    himself she her hers herself it its itself they them their theirs themselves one ones one's
    a an the this that these those some any no none nobody nothing nowhere neither nor not never
    each every all both either another other others same such own am is are was were be been being
    have has had having do does did doing done will would shall should can could may might must
    going cannot let's of in on at to from by with without for about into onto over under above
    below behind beside between among through across along past up down off out around round
    against near after before during until till since toward towards upon within inside outside
    beyond next than as like per via and or but so because if when while where although though
    unless once whether who whom whose which what why how whoever whatever there here then now too
    very just only even still also again already yet ever always away back much many more most
    less least few fewer several half enough i'm i've i'd i'll we're we've we'd we'll you're
    you've you'd you'll he's he'd he'll she's she'd she'll it's it'll they're they've they'd
    they'll that's there's who's who'd what's don't didn't doesn't isn't aren't wasn't weren't
    haven't hasn't hadn't won't wouldn't can't couldn't shouldn't mustn't needn't
"""
KEPT = frozenset(FUNCTION_WORDS.split())
# How often a form occurs in a text, on average, and how far an emotion may be from neutral.
FORMS = {
    "first person": (r"\b(i|me|my|mine|we|us|our|ours)\b", 0.35),
    "third person": (r"\b(he|she|they|him|her|his|hers|them|their)\b", 0.25),
    "second person": (r"\b(you|your|yours)\b", 0.1),
    "negation": (r"\b(not|no|nobody|never|nothing|none|without|\w+n't)\b", 0.1),
    "past auxiliary": (r"\b(was|were|had|did)\b", 0.1),
    "present auxiliary": (r"\b(is|are|am|has|have|do|does)\b", 0.1),
    "future": (r"\bwill\b|\bgoing to\b", 0.02),
    "past ending": (r"\b\w+ed\b", 0.15),
    "name": (r"(?-i:(?<=[a-z,] )(?!I\b)[A-Z][a-z]+)", 0.1),
    "sentence": (r"[.!?]", 0.02),
    "question": (r"\?", 0.02),
    "quotation": (r'"', 0.02),
    "comma": (r",", 0.05),
    "colon or semicolon": (r"[:;]", 0.02),
}


def read(name):
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def rows():
    return read("emotion_dataset.jsonl")


@pytest.fixture(scope="module")
def scenarios(rows):
    grouped = defaultdict(dict)
    for row in rows:
        assert row["emotion"] not in grouped[row["pair_id"]]
        grouped[row["pair_id"]][row["emotion"]] = row
    return grouped


@pytest.fixture(scope="module")
def implicit(scenarios):
    return [
        row
        for texts in scenarios.values()
        if not texts["anger"]["explicit"]
        for row in texts.values()
    ]


def words(text):
    return len(text.split())


def plain_words(text):
    return " ".join(token.lower() for token in TOKEN.findall(text) if token[0].isalpha())


def style(text):
    """Keep function words and punctuation; of any other word, keep only its ending."""
    tokens = []
    for token in TOKEN.findall(text):
        if not token[0].isalpha() or token.lower() in KEPT:
            tokens.append(token.lower())
        else:
            tokens.append(next((f"-{end}" for end in ENDINGS if token.endswith(end)), "other"))
    return " ".join(tokens)


def unseen_auroc(rows, emotion, other, view, longest):
    """Score each text by a model that has seen no text of its template, in three shufflings."""
    contrast = [row for row in rows if row["emotion"] in (emotion, other)]
    label = np.array([row["emotion"] == emotion for row in contrast])
    views = [view(row["text"]) for row in contrast]
    model = make_pipeline(
        CountVectorizer(lowercase=False, token_pattern=r"\S+", ngram_range=(1, longest)),
        LogisticRegression(solver="liblinear"),
    )
    aurocs = []
    for seed in range(3):
        scores = cross_val_predict(
            model,
            views,
            label,
            groups=[row["template_id"] for row in contrast],
            cv=GroupKFold(10, shuffle=True, random_state=seed),
            method="decision_function",
        )
        aurocs.append(roc_auc_score(label, scores))
    return float(np.mean(aurocs))


def test_every_label_has_225_distinct_texts(rows):
    assert Counter(row["emotion"] for row in rows) == dict.fromkeys((*EMOTIONS, "neutral"), 225)
    assert len({row["text"].casefold() for row in rows}) == 900


def test_every_emotion_text_has_a_neutral_partner_on_the_same_scenario(scenarios):
    assert len(scenarios) == 225
    assert all(set(texts) == {*EMOTIONS, "neutral"} for texts in scenarios.values())


def test_about_half_name_the_emotion_and_the_others_do_not(rows):
    for row in rows:
        assert bool(NAMED.search(row["text"])) == row["explicit"], row["text"]
    for emotion in EMOTIONS:
        flags = [row["explicit"] for row in rows if row["emotion"] == emotion]
        assert 0.45 <= np.mean(flags) <= 0.55
    assert not any(row["explicit"] for row in rows if row["emotion"] == "neutral")


def test_lengths_are_matched(rows, scenarios):
    assert all(12 <= words(row["text"]) <= 30 for row in rows)
    for texts in scenarios.values():
        lengths = [words(row["text"]) for row in texts.values()]
        assert max(abs(n - np.mean(lengths)) for n in lengths) <= 0.25 * np.mean(lengths)
    # Length alone must not tell an emotion from neutral, on characters or on words.
    for emotion in EMOTIONS:
        contrast = [row for row in rows if row["emotion"] in (emotion, "neutral")]
        label = [row["emotion"] == emotion for row in contrast]
        for size in (words, len):
            auroc = roc_auc_score(label, [size(row["text"]) for row in contrast])
            assert 0.42 <= auroc <= 0.58


def test_length_alone_does_not_tell_implicit_texts_apart(implicit):
    labels = (*EMOTIONS, "neutral")
    for first, second in itertools.combinations(labels, 2):
        contrast = [row for row in implicit if row["emotion"] in (first, second)]
        label = [row["emotion"] == first for row in contrast]
        for size in (words, len):
            auroc = roc_auc_score(label, [size(row["text"]) for row in contrast])
            assert 0.42 <= auroc <= 0.58, (first, second)


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_words_without_their_composition_hardly_tell_an_emotion_from_neutral(implicit, emotion):
    assert unseen_auroc(implicit, emotion, "neutral", style, 2) <= 0.70
    assert unseen_auroc(implicit, emotion, "neutral", plain_words, 1) <= 0.85


@pytest.mark.parametrize(("emotion", "other"), list(itertools.combinations(EMOTIONS, 2)))
def test_style_alone_hardly_tells_one_emotion_from_another(implicit, emotion, other):
    assert unseen_auroc(implicit, emotion, other, style, 2) <= 0.80


@pytest.mark.parametrize("form", FORMS)
def test_every_label_has_the_same_forms(rows, implicit, form):
    pattern, tolerance = re.compile(FORMS[form][0], re.IGNORECASE), FORMS[form][1]
    for texts in (rows, implicit):
        rates = {
            label: np.mean(
                [len(pattern.findall(row["text"])) for row in texts if row["emotion"] == label]
            )
            for label in (*EMOTIONS, "neutral")
        }
        assert rates["neutral"] > 0
        assert all(abs(rates[label] - rates["neutral"]) <= tolerance for label in EMOTIONS), rates


def test_templates_stay_within_a_split(rows):
    splits = defaultdict(set)
    for row in rows:
        splits[row["template_id"]].add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert 75 <= len(splits) <= 115
    sizes = Counter(row["template_id"] for row in rows if row["emotion"] == "neutral")
    assert set(sizes.values()) == {2, 3}
    held_out = np.mean([row["split"] == "test" for row in rows])
    assert 0.15 <= held_out <= 0.25
    both = {row["explicit"] for row in rows if row["split"] == "test" and row["emotion"] == "anger"}
    assert both == {True, False}


def test_each_cue_stands_once_in_its_text(rows):
    assert all(row["text"].count(row["cue"]) == 1 for row in rows)


def test_the_smoke_dataset_is_five_scenarios_of_the_dataset(rows):
    smoke = read("emotion_dataset_smoke.jsonl")
    assert Counter(row["emotion"] for row in smoke) == dict.fromkeys((*EMOTIONS, "neutral"), 5)
    assert all(row in rows for row in smoke)
    assert {(row["split"], row["explicit"]) for row in smoke if row["emotion"] == "anger"} == {
        (split, named) for split in ("train", "test") for named in (True, False)
    }
