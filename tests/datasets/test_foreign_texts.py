"""Prompt files and JSON results from somebody else: read, or refused in one line."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kedro.io import DatasetError

from emotion_circuits.datasets import PromptSourceDataset
from emotion_circuits.datasets.results_folder import read_result
from emotion_circuits.errors import InputError, printable
from emotion_circuits.prompts import EmotionSet
from emotion_circuits.prompts.standard_form import standard_form

DEEP = "[" * 100_000 + "]" * 100_000
LEVELS = "[" * 101 + "]" * 101
DIGITS = "9" * 5000


def table_of(path, text, **options):
    path.write_text(text, encoding="utf-8")
    try:
        source = PromptSourceDataset(filepath=str(path), **options).load()
    except DatasetError as error:  # Kedro wraps what a dataset raises; the session unwraps it
        raise (error.__cause__ or error) from None
    return standard_form(source, EmotionSet()).table


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("3", "an object of lists, or a list of objects"),
        ('"text"', "an object of lists, or a list of objects"),
        ("null", "an object of lists, or a list of objects"),
        ("[3]", "record 1: '3' is not a JSON object"),
        ("[[]]", "record 1"),
        ('{"anger": 3}', "'anger' has '3'; allowed is a list of texts"),
        ('{"anger": "one text"}', "'anger' has 'one text'; allowed is a list"),
        ('{"anger": {"a": 1}}', "'anger' has .* allowed is a list"),
        ('{"anger": [3]}', "record 1"),
        ('{"anger": [null]}', "record 1"),
        ('[{"prompt": ["a"], "label": "anger"}]', "record 1"),
        ('[{"prompt": "a", "label": {"x": 1}}]', "record 1"),
        ('[{"prompt": "a", "label": ["anger"]}]', "record 1"),
        (DEEP, "deeper than 100 levels"),
        (LEVELS, "deeper than 100 levels"),
        ('{"anger": [' + DIGITS + "]}", "4300 digits"),
        ('{"anger": ["half \\ud83d"]}', r"\\ud83d is half a character"),
        ('{"anger": ["a",]}', "line 1: broken JSON"),
        ("", "line 1: broken JSON"),
    ],
)
def test_prompt_json_of_an_odd_shape_is_refused_in_one_line(tmp_path, text, line):
    with pytest.raises(InputError, match=line) as caught:
        table_of(tmp_path / "prompts.json", text)
    assert "prompts.json" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (DEEP, "deeper than 100 levels"),
        ('{"text": ' + DIGITS + "}", "4300 digits"),
        ('{"text": "\\ude00", "emotion": "anger"}', r"\\ude00 is half a character"),
        ('{"text": "a", "emotion": [1]}', "label .* is unknown"),
        ('{"text": 1, "emotion": "anger"}', "text"),
        ("[]", "is not a JSON object"),
    ],
)
def test_a_line_of_an_odd_shape_is_refused_by_its_number(tmp_path, text, line):
    good = '{"text": "You broke my lamp.", "emotion": "anger"}\n'
    with pytest.raises(InputError, match=line) as caught:
        table_of(tmp_path / "prompts.jsonl", good + text + "\n")
    assert "line 2" in str(caught.value)
    assert len(table_of(tmp_path / "prompts.jsonl", good)) == 1


def test_a_whole_character_of_two_escapes_is_read(tmp_path):
    text = '{"anger": ["lamp \\ud83d\\ude00", "back\\\\ud83d"]}'
    assert table_of(tmp_path / "p.json", text)["text"].tolist() == ["lamp 😀", "back\\ud83d"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["text", "prompt", "emotion", "label", "anger", "lang", "cue", "split"])
            | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(JSON)
def test_any_json_is_a_table_or_one_line(tmp_path, value):
    for suffix in (".json", ".jsonl"):
        try:
            table_of(tmp_path / f"p{suffix}", json.dumps(value))
        except InputError as refused:
            assert printable(str(refused)) == str(refused)  # noqa: PT017 - either is right


@pytest.mark.parametrize("index", ["-1", "2", "1,-2", "", "1_0", " 1", "¹", "x", DIGITS])
def test_an_index_that_is_no_label_is_refused(tmp_path, index):
    labels = tmp_path / "labels.txt"
    labels.write_text("anger\nneutral\n")
    with pytest.raises(InputError, match=r"line 1: .* are not label indices from 0 to 1"):
        table_of(
            tmp_path / "train.tsv",
            f"a text\t{index}\tid\n",
            format="goemotions",
            label_names=str(labels),
        )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", DEEP),
        ("a.json", LEVELS),
        ("a.json", DIGITS),
        ("a.json", '"\\ud800"'),
        ("a.json", "{"),
        ("a.jsonl", DEEP),
        ("a.jsonl", "{"),
        ("a.csv", ""),
        ("a.csv", 'a,b\n"1'),
        ("a.csv", "a\n1,2\n3,4,5\n"),
    ],
    ids=range(10),
)
def test_a_result_that_cannot_be_read_is_one_line(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=rf"{name}: ") as caught:
        read_result(tmp_path / name)
    assert str(caught.value).isprintable()
