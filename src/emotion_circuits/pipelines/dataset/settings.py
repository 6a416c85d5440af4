"""Parameters of phase 1."""

from typing import Annotated, Literal

from pydantic import AliasChoices, ConfigDict, Field

from emotion_circuits.phase_settings import PhaseSettings, without_effect
from emotion_circuits.prompts.word_probes import N_FOLDS

Column = Literal["text", "emotion", "lang", "pair_id", "template_id", "explicit", "split", "cue"]
Auroc = Annotated[float, Field(ge=0.5, le=1)]


class MaxAuroc(PhaseSettings):
    """Highest AUROC of a word probe on implicit texts without a warning; null: no limit."""

    style_vs_neutral: Auroc | None = Field(
        default=0.70, description="style, an emotion against neutral"
    )
    style_between_emotions: Auroc | None = Field(default=0.80, description="style, two emotions")
    bag_of_words_vs_neutral: Auroc | None = Field(
        default=0.85, description="all words, an emotion against neutral"
    )


class WordProbeSettings(PhaseSettings):
    """How well words without their order tell labels apart, and how well they may."""

    n_shuffles: int = Field(
        default=3, ge=1, description="times the templates are divided into folds"
    )
    min_templates: int = Field(
        default=2 * N_FOLDS, ge=N_FOLDS, description="templates that each label needs for a probe"
    )
    max_texts: int | None = Field(
        default=1000, ge=N_FOLDS, description="at most so many texts per label; null: all"
    )
    max_auroc: MaxAuroc = MaxAuroc()


class DatasetSettings(PhaseSettings):
    """Source, checks and selection of the prompts."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    input: str | None = Field(None, description="file to read; null: the profile's own")
    format: Literal["auto", "jsonl", "csv", "prompt_json", "goemotions", "parquet", "datasets"] = (
        "auto"
    )
    source_split: str | None = Field(
        None, description="split to read, for format datasets; null: the only one"
    )
    subset: str | None = Field(
        None, description="configuration of a dataset of the hub; null: the only one"
    )
    label_names: str | None = Field(None, description="file of label names, for format goemotions")
    delimiter: Literal["comma", "semicolon", "tab"] = Field(
        "comma", description="sign between the fields, for format csv"
    )
    columns: dict[Column, str] = Field(
        {}, description="the file's names of columns, by the study's; other names stay"
    )
    other_labels: Literal["error", "drop"] = Field(
        "error", description="refuse texts with labels that are not the study's, or leave them out"
    )
    output: str | None = without_effect(None, description="file to write; null: the profile's own")
    on_duplicate: Literal["auto", "error", "drop"] = Field(
        "auto",
        description="refuse a text that occurs twice, or keep the first; auto: keep the first in "
        "GoEmotions, refuse elsewhere",
    )
    max_samples_per_emotion: int | None = Field(
        None,
        ge=2,
        validation_alias=AliasChoices("max_samples_per_emotion", "max_per_emotion"),
        description="largest number of prompts per label; null: all",
    )
    lang: str = Field("en", description="language of texts without one")
    test_fraction: float = Field(
        0.2, gt=0, lt=1, description="share of templates held out if the file has no split"
    )
    word_probes: WordProbeSettings = WordProbeSettings()
    seed: int = Field(0, description="seed of the split and of the folds of word probes")
