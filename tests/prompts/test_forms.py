"""Forms of texts are counted per label; the counts of a few texts are known by hand."""

import pandas as pd
import pytest

from emotion_circuits.prompts.forms import FORMS, count_forms, form_rates
from study_emotions import FOUR

# The forms that are not 0.
COUNTED = {
    "I wasn't told that Dana had mended it.": {
        **{"words": 8, "characters": 38, "sentences": 1, "names": 1, "first_person": 1},
        **{"past_auxiliary": 2, "negation": 1, "ending_ed": 1},
    },
    'Will you say it? "No," she said; I\'ll walk slowly with Omar.\n': {
        **{"words": 12, "characters": 60, "sentences": 2, "question": 1, "quotation": 2},
        **{"comma": 1, "colon_or_semicolon": 1, "future": 2, "negation": 1, "names": 1},
        **{"first_person": 1, "second_person": 1, "third_person": 1, "ending_ly": 1},
    },
    "On Monday, Rosa is reading our longest letters to him. I'm late!": {
        **{"words": 12, "characters": 64, "sentences": 2, "comma": 1, "names": 2},
        **{"present_auxiliary": 2, "first_person": 2, "third_person": 1},
        **{"ending_ing": 1, "ending_est": 1, "ending_s": 1},
    },
}


@pytest.mark.parametrize("text", COUNTED)
def test_forms_are_counted_as_by_hand(text):
    counted = count_forms(pd.Series([text])).loc[0]
    assert counted[counted > 0].to_dict() == COUNTED[text]
    assert list(counted.index) == list(FORMS)


def test_every_form_occurs_in_these_texts_except_those_named():
    counted = count_forms(pd.Series(list(COUNTED))).sum()
    assert counted[counted == 0].index.tolist() == ["ending_er"]


def test_rates_are_means_over_the_texts_of_a_label():
    texts = pd.Series(["He did.", "He did, he did.", "Stop!"], index=[5, 6, 7])
    labels = pd.Series(["anger", "anger", "neutral"], index=[5, 6, 7])
    rates = form_rates(count_forms(texts), labels, FOUR)
    assert rates.columns.tolist() == list(FOUR.labels)
    assert rates.loc["past_auxiliary", ["anger", "neutral"]].tolist() == [1.5, 0.0]
    assert rates.loc["comma", "anger"] == 0.5
    assert rates["gratitude"].isna().all()
