"""The older command of phase 1: fields, labels and files."""

import csv
import json

import pandas as pd
import pytest

LABELS = ("gratitude", "anger", "apology", "neutral", "joy")
# Labels by text; every third text of a label is of the test split if the file has none.
TEXTS = [(f"{label} text {number}", label) for label in LABELS for number in range(6)]


@pytest.fixture
def table(tmp_path):
    """A CSV whose text and label stand in columns of other names."""
    path = tmp_path / "comments.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "comment", "feeling"])
        writer.writerows([("not this", text, label) for text, label in TEXTS])
    return path


def build(main, folder, *options):
    words = ["--profile", "baseline_smoke", *options, "--params", f"results_root={folder}"]
    main("data.build_dataset", *words)
    statistics = json.loads((folder / "baseline_smoke/dataset/statistics.json").read_text())
    return statistics


FIELDS = ("--text-field", "comment", "--label-field", "feeling")


def test_fields_labels_and_output_are_those_asked_for(main, table, tmp_path):
    output = tmp_path / "made" / "texts.jsonl"
    emotions = ("--emotions", "anger", "joy", "neutral")
    options = ("--input", table, "--output", output, *FIELDS, *emotions)
    statistics = build(main, tmp_path, *options)
    made = pd.read_json(output, lines=True)
    kept = {"anger", "joy", "neutral"}
    # Five texts of each, as the profile says.
    assert made.groupby("emotion").size().to_dict() == dict.fromkeys(kept, 5)
    assert set(zip(made["text"], made["emotion"], strict=True)) <= set(TEXTS)
    assert statistics["output"] == str(output)
    assert statistics["other_labels_dropped"] == 12
    assert not (tmp_path / "baseline_smoke/dataset/emotion_dataset.jsonl").exists()


def test_a_label_that_was_not_asked_for_is_an_error_without_the_option(
    main, table, tmp_path, capsys
):
    with pytest.raises(SystemExit) as stopped:
        build(main, tmp_path, "--input", table, *FIELDS)
    assert stopped.value.code == 1
    assert "comments.csv, line 26: label 'joy' is unknown" in capsys.readouterr().err


def test_a_missing_field_is_one_line(main, table, tmp_path, capsys):
    with pytest.raises(SystemExit):
        build(main, tmp_path, "--input", table, "--text-field", "body")
    error = capsys.readouterr().err
    assert "dataset.columns.text 'body' is not in" in error
    assert "known: text, comment, feeling" in error


@pytest.mark.slow
def test_prompt_json_beside_the_input_is_preferred(main, table, tmp_path):
    emotions = ("--emotions", *LABELS)
    by_label = {label: [f"{text}!" for text, of in TEXTS if of == label] for label in LABELS}
    options = ("--input", table, *emotions, "--prefer-prompts")
    without = build(main, tmp_path, *options, *FIELDS)
    assert without["input"].endswith("comments.csv")
    table.with_suffix(".json").write_text(json.dumps(by_label))
    beside = build(main, tmp_path, *options)
    assert beside["input"].endswith("comments.json")
    assert beside["total_samples"] == 5 * len(LABELS)
