"""Phase 1: any format in, one table out; every mistake named with its file and line."""

import csv
import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kedro.io import DatasetError

from emotion_circuits.datasets import PromptSourceDataset, ResultJSONLinesDataset
from emotion_circuits.errors import InputError
from emotion_circuits.pipelines.dataset.nodes import build_prompts
from emotion_circuits.pipelines.dataset.settings import DatasetSettings
from emotion_circuits.prompts import COLUMNS, EmotionSet, PromptSource, SourceRecord
from study_emotions import FOUR

LABELS = FOUR.labels

ROWS = [
    {"text": f"{word} text {number}", "emotion": label, "lang": "en"}
    for label, word in zip(LABELS, ("Thanks,", "Furious", "Sorry,", "Plain"), strict=True)
    for number in range(10)
]


def build(path, emotions=FOUR, **settings):
    options = {
        key: settings[key] for key in ("format", "label_names", "delimiter") if key in settings
    }
    source = PromptSourceDataset(filepath=str(path), **options).load()
    return build_prompts(source, "profile", emotions, DatasetSettings(**settings))


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_every_format_gives_the_same_table(tmp_path):
    jsonl = write_jsonl(tmp_path / "a.jsonl", ROWS)
    with (tmp_path / "a.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["text", "emotion", "lang"])
        writer.writeheader()
        writer.writerows(ROWS)
    by_label = {label: [r["text"] for r in ROWS if r["emotion"] == label] for label in LABELS}
    (tmp_path / "a.json").write_text(json.dumps(by_label))
    (tmp_path / "b.json").write_text(
        json.dumps([{"prompt": r["text"], "label": r["emotion"]} for r in ROWS])
    )
    wanted, _ = build(jsonl)
    for name in ("a.csv", "a.json", "b.json"):
        table, _ = build(tmp_path / name)
        pd.testing.assert_frame_equal(table, wanted)


def test_goemotions_rows_with_one_of_the_four_labels_are_read(tmp_path):
    names = ["anger", "gratitude", "joy", "remorse", "neutral"]
    (tmp_path / "emotions.txt").write_text("\n".join(names))
    lines = ['He said "no\t0\tid1', "Thanks!\t1\tid2", "Whee\t2\tid3", "My bad\t3\tid4"]
    lines += ["It is noon\t4\tid5", "Grr and whee\t0,2\tid6", 'Never "again\t0\tid7', "Ok\t4\tid8"]
    (tmp_path / "train.tsv").write_text("\n".join(lines) + "\n")
    table, _ = build(
        tmp_path / "train.tsv", format="goemotions", label_names=str(tmp_path / "emotions.txt")
    )
    assert sorted(zip(table["text"], table["emotion"], strict=True)) == [
        ('He said "no', "anger"),
        ("It is noon", "neutral"),
        ("My bad", "apology"),
        ('Never "again', "anger"),
        ("Ok", "neutral"),
        ("Thanks!", "gratitude"),
    ]


def test_the_output_read_again_is_the_same_table(tmp_path):
    table, _ = build(write_jsonl(tmp_path / "a.jsonl", ROWS))
    out = ResultJSONLinesDataset(filepath=str(tmp_path / "out.jsonl"))
    out.save(table)
    pd.testing.assert_frame_equal(out.load(), table)
    again, _ = build(tmp_path / "out.jsonl")
    pd.testing.assert_frame_equal(again, table)


TEXTS = st.text(min_size=1, max_size=20).filter(lambda text: text.strip() and "\r" not in text)


@given(st.lists(TEXTS, min_size=8, max_size=30, unique_by=lambda text: " ".join(text.split())))
def test_any_text_survives_and_splits_never_share_one(texts):
    records = tuple(
        SourceRecord(line, {"text": text, "emotion": LABELS[line % 4]})
        for line, text in enumerate(texts, start=1)
    )
    settings = DatasetSettings(on_duplicate="drop")
    table, _ = build_prompts(PromptSource("f", records), "p", FOUR, settings)
    assert set(table["text"]) <= set(texts)
    assert list(table.columns) == list(COLUMNS)
    assert table["text"].is_unique


def test_templates_are_never_in_both_splits_and_labels_are_in_both(tmp_path):
    rows = [{**row, "template_id": f"t{index % 5}"} for index, row in enumerate(ROWS)]
    table, statistics = build(write_jsonl(tmp_path / "a.jsonl", rows))
    by_template = table.groupby("template_id")["split"].nunique()
    assert (by_template == 1).all()
    assert set(zip(table["emotion"], table["split"], strict=True)) == {
        (label, split) for label in LABELS for split in ("train", "test")
    }
    assert statistics["split_assigned"]


def test_each_emotion_text_gets_one_neutral_partner_of_its_split(tmp_path, caplog):
    table, _ = build(write_jsonl(tmp_path / "a.jsonl", ROWS))
    assert "a.jsonl has texts without pair_id" in caplog.text
    neutral = table[table["emotion"] == "neutral"].set_index("pair_id")["split"]
    assert neutral.index.is_unique
    for row in table.itertuples():
        assert neutral[row.pair_id] == row.split


@pytest.mark.parametrize("limit", [2, 3, 5])
def test_a_limit_keeps_whole_pairs_of_both_splits(project_root, limit):
    path = project_root / "data" / "emotion_dataset_embedded.jsonl"
    table, statistics = build(path, max_samples_per_emotion=limit)
    assert statistics["emotion_counts"] == dict.fromkeys(LABELS, limit)
    assert (table.groupby("pair_id")["emotion"].nunique() == 4).all()
    assert set(table["split"]) == {"train", "test"}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"emotion": "angr"}, r"a\.jsonl, line 3: label 'angr' is unknown; .*nearest: anger"),
        ({"text": "  "}, r"a\.jsonl, line 3: text is ' '; it must not be empty"),
        ({"text": ROWS[0]["text"] + " "}, r"line 3: text .* stands already in line 1"),
        ({"split": "dev"}, r"line 3: split is 'dev'; allowed are train and test"),
        ({"cue": "nowhere"}, r"line 3: cue 'nowhere' does not occur"),
        ({"explicit": "maybe"}, r"line 3: explicit is 'maybe'"),
    ],
)
def test_a_wrong_record_is_named_by_file_and_line(tmp_path, change, line):
    rows = [dict(row) for row in ROWS]
    rows[2] |= change
    with pytest.raises(InputError, match=line) as caught:
        build(write_jsonl(tmp_path / "a.jsonl", rows))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.jsonl", b'{"text": "a", "emotion": "anger"}\n{"text": \n', r"a\.jsonl, line 2: broken"),
        ("a.jsonl", b'{"text": "a"}\n', r"line 1: key 'emotion' is missing; found text"),
        ("a.jsonl", b'{"text": "caf\xe9"}\n', r"line 1: byte 0xe9 is not UTF-8"),
        ("a.csv", b'text,emotion\n"two\nlines",anger\nx\n', r"a\.csv, line 4: 1 fields"),
        ("a.csv", b"text,emotion\n,anger\n", r"line 2: text is ''; it must not be empty"),
        ("a.csv", b"text;emotion\na;anger\n", r"line 2: .* need dataset\.delimiter=semicolon"),
        ("a.csv", b"text\temotion\na\tanger\n", r"line 2: .* need dataset\.delimiter=tab"),
        ("a.csv", b"words,emotion\na,anger\n", r"such as dataset\.columns\.text=words"),
        ("a.csv", b'text,emotion\n"open,anger\n', r"a\.csv, line \d: broken CSV"),
        ("a.tsv", b"text\t1\n", r"label_names is missing"),
        ("a.xml", b"", r"'\.xml' is unknown; known: jsonl, csv"),
        ("a.json", b"[1]", r"record 1: '1' is not a JSON object"),
    ],
)
def test_a_broken_file_is_named_by_its_line(tmp_path, name, content, line):
    (tmp_path / name).write_bytes(content)
    # Kedro puts a sentence of its own before a reader's error; the session takes it off again.
    with pytest.raises((InputError, DatasetError), match=line):
        build(tmp_path / name)


def test_duplicates_can_be_dropped_and_are_counted(tmp_path):
    rows = [*ROWS, {**ROWS[0], "text": ROWS[0]["text"].replace(" ", "  ")}]
    table, statistics = build(write_jsonl(tmp_path / "a.jsonl", rows), on_duplicate="drop")
    assert statistics["duplicates_dropped"] == 1
    assert len(table) == len(ROWS)


def test_goemotions_comments_may_repeat_and_the_first_is_kept(tmp_path, caplog):
    caplog.set_level("INFO")
    (tmp_path / "emotions.txt").write_text("anger\ngratitude\nremorse\nneutral")
    lines = [f"{row['text']}\t{[1, 0, 2, 3][n // 10]}\tid{n}" for n, row in enumerate(ROWS)]
    lines += ["Thanks, text  0\t1\tidx", "Thanks, text 0\t0\tidy"]
    (tmp_path / "train.tsv").write_text("\n".join(lines))
    options = {"label_names": str(tmp_path / "emotions.txt")}
    table, statistics = build(tmp_path / "train.tsv", **options)
    wanted, _ = build(write_jsonl(tmp_path / "a.jsonl", ROWS))
    pd.testing.assert_frame_equal(table, wanted)
    assert statistics["duplicates_dropped"] == 2
    assert "2 texts that occurred before were dropped" in caplog.text
    with pytest.raises(InputError, match=r"line 41: text .* stands already in line 1"):
        build(tmp_path / "train.tsv", on_duplicate="error", **options)
    with pytest.raises(InputError, match=r"line 41: text .* stands already in line 1"):
        build(write_jsonl(tmp_path / "a.jsonl", [*ROWS, ROWS[0]]))


@pytest.mark.parametrize("delimiter", ["semicolon", "tab"])
def test_other_delimiters_and_column_names_give_the_same_table(tmp_path, delimiter):
    sign = {"semicolon": ";", "tab": "\t"}[delimiter]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter=sign)
        writer.writerow(["feeling", "comment", "text"])
        writer.writerows([row["emotion"], row["text"], f"not {n}"] for n, row in enumerate(ROWS))
    columns = {"text": "comment", "emotion": "feeling"}
    wanted, _ = build(write_jsonl(tmp_path / "a.jsonl", ROWS))
    table, _ = build(tmp_path / "a.csv", delimiter=delimiter, columns=columns)
    pd.testing.assert_frame_equal(table, wanted)
    renamed = [{"comment": row["text"], "feeling": row["emotion"]} for row in ROWS]
    table, _ = build(write_jsonl(tmp_path / "b.jsonl", renamed), columns=columns)
    pd.testing.assert_frame_equal(table, wanted)


def test_a_column_or_delimiter_that_is_not_there_is_refused(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", ROWS)
    with pytest.raises(InputError, match=r"dataset\.columns\.text 'txt' is not in .*nearest: text"):
        build(path, columns={"text": "txt"})
    with pytest.raises(InputError, match="words"):
        build(path, columns={"words": "text"})
    (tmp_path / "a.csv").write_text("text,emotion\n")
    dataset = PromptSourceDataset(filepath=str(tmp_path / "a.csv"), delimiter="semicolons")
    with pytest.raises(DatasetError, match=r"'semicolons' is unknown; .* nearest: semicolon"):
        dataset.load()


@pytest.mark.parametrize(
    ("left_out", "line"),
    [("neutral", "has no neutral texts"), ("apology", "no texts with label apology")],
)
def test_a_missing_class_is_refused(tmp_path, left_out, line):
    rows = [row for row in ROWS if row["emotion"] != left_out]
    with pytest.raises(InputError, match=line):
        build(write_jsonl(tmp_path / "a.jsonl", rows))


def test_another_studys_labels_are_those_it_names(tmp_path):
    emotions = EmotionSet(
        names=("joy", "fear"), neutral="calm", marking_words={"joy": ("glad",), "fear": ("afraid",)}
    )
    words = {"calm": "Plain", "fear": "Afraid,", "joy": "Glad,"}
    rows = [
        {"text": f"{word} text {n}", "emotion": label}
        for label, word in words.items()
        for n in range(4)
    ]
    table, statistics = build(write_jsonl(tmp_path / "a.jsonl", rows), emotions)
    assert list(statistics["emotion_counts"].items()) == [("joy", 4), ("fear", 4), ("calm", 4)]
    assert statistics["emotion_word_rate"] == {"joy": 1.0, "fear": 1.0, "calm": 0.0}
    assert set(table.loc[table["explicit"], "emotion"]) == {"joy", "fear"}
    assert set(table["pair_id"]) == set(table.loc[table["emotion"] == "calm", "pair_id"])
    with pytest.raises(InputError, match=r"line 1: label 'calm' is unknown; known: gratitude"):
        build(tmp_path / "a.jsonl")
    without = [row for row in rows if row["emotion"] != "calm"]
    with pytest.raises(InputError, match=r"has no calm texts; every emotion is measured against"):
        build(write_jsonl(tmp_path / "b.jsonl", without), emotions)


def test_goemotions_rows_are_read_under_the_labels_that_target_metrics_name(tmp_path):
    (tmp_path / "emotions.txt").write_text("joy\nsadness\nfear\nneutral\n")
    lines = ["Whee\t0\ta", "Oh no\t1\tb", "Help\t2\tc", "It is noon\t3\td", "Both\t0,1\te"]
    (tmp_path / "train.tsv").write_text("\n".join(lines) + "\n")
    emotions = EmotionSet(
        names=("gladness", "fear"),
        neutral="calm",
        target_metrics={"gladness": "goemotions/joy", "fear": "mood/fear"},
    )
    labels = {"format": "goemotions", "label_names": str(tmp_path / "emotions.txt")}
    table, _ = build(tmp_path / "train.tsv", emotions, **labels)
    assert dict(zip(table["text"], table["emotion"], strict=True)) == {
        "Whee": "gladness",
        "Help": "fear",
        "It is noon": "calm",
    }


def scenario_rows(*, past_tense):
    """Twenty-four templates; the emotion texts' tense tells them from neutral, or nothing does."""
    places = ("at home", "in town", "by the river", "on the hill")
    colours = dict(zip(LABELS, ("gold", "pink", "blue", "teal"), strict=True))
    rows = []
    for number in range(24):
        for repeat in range(2):
            for label in LABELS:
                ending = "ed" if past_tense and label != "neutral" else ""
                text = (
                    f"{places[number % 4]} I paint{ending} lamp {number}.{repeat} {colours[label]}"
                )
                pair = f"p{number}.{repeat}"
                row = {"text": text, "emotion": label, "pair_id": pair}
                rows.append(row | {"template_id": str(number), "explicit": False})
    return rows


def test_a_style_that_tells_labels_apart_is_warned_of_in_one_line(tmp_path, caplog):
    _, confounded = build(write_jsonl(tmp_path / "a.jsonl", scenario_rows(past_tense=True)))
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    style = [line for line in warnings if "style_vs_neutral" in line]
    assert style == [
        "style alone tells labels of implicit texts apart: AUROC gratitude_vs_neutral 1.00, "
        "anger_vs_neutral 1.00, apology_vs_neutral 1.00; limit 0.70 "
        "(dataset.word_probes.max_auroc.style_vs_neutral)"
    ]
    records = {(r["subset"], r["view"], r["contrast"]): r for r in confounded["word_probes"]}
    assert len(records) == 24
    tense = records["implicit", "style", "anger_vs_neutral"]
    assert (tense["auroc"], tense["over_limit"], tense["n_templates"]) == (1.0, True, 24)
    assert records["implicit", "style", "gratitude_vs_anger"]["auroc"] == 0.5
    rates = confounded["form_rates"]["implicit"]["ending_ed"]
    assert rates == {"gratitude": 1.0, "anger": 1.0, "apology": 1.0, "neutral": 0.0}


def test_without_a_difference_of_style_there_is_no_such_warning(tmp_path, caplog):
    _, statistics = build(write_jsonl(tmp_path / "a.jsonl", scenario_rows(past_tense=False)))
    assert "style alone" not in caplog.text
    style = [r for r in statistics["word_probes"] if r["view"] == "style"]
    assert {r["auroc"] for r in style} == {0.5}


def test_with_few_templates_the_statistics_say_why_there_is_no_probe(tmp_path):
    _, statistics = build(write_jsonl(tmp_path / "a.jsonl", scenario_rows(past_tense=True)[:64]))
    for record in statistics["word_probes"]:
        assert record["auroc"] is None
        assert record["reason"].endswith("has texts of 8 templates; at least 20 are needed")
