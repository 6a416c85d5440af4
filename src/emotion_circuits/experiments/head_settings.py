"""Parameters that both phases on heads have in common."""

from typing import Literal

import pandas as pd
from pydantic import Field

from emotion_circuits.experiments.generation_settings import GenerationSettings
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.prompts import EmotionSet


class HeadSettings(GenerationSettings):
    """Which pairs of prompts heads are changed on."""

    split: Literal["test", "train", "all"] = Field(
        "test", description="which prompts; vectors are measured on those of train"
    )
    max_samples_per_emotion: int | None = Field(
        None, ge=2, description="at most so many pairs of prompts; null: all"
    )

    def paired_prompts(
        self, model: LanguageModel, prompts: pd.DataFrame, emotions: EmotionSet
    ) -> PairedPrompts:
        """Choose and encode pairs of prompts, and move the model where it shall run.

        Raises:
            InputError: If pairs are not whole or too few.
        """
        return PairedPrompts.prepare(
            self.placed(model),
            prompts,
            emotions,
            split=self.split,
            limit=self.max_samples_per_emotion,
        )
