"""Parameters shared by head screening and head patching."""

from typing import Literal

import pandas as pd
from pydantic import Field

from emotion_circuits.experiments.generation_settings import GenerationSettings
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.prompts import EmotionSet


class HeadSettings(GenerationSettings):
    """The pairs of prompts on which heads are changed."""

    split: Literal["test", "train", "all"] = Field(
        "test", description="split of the prompts; vectors are measured on train"
    )
    max_samples_per_emotion: int | None = Field(
        None, ge=2, description="largest number of pairs of prompts; null: all"
    )

    def paired_prompts(
        self, model: LanguageModel, prompts: pd.DataFrame, emotions: EmotionSet
    ) -> PairedPrompts:
        """Choose and encode pairs of prompts, and move the model to its device.

        Raises:
            InputError: If a pair is incomplete, or there are too few pairs.
        """
        return PairedPrompts.prepare(
            self.placed(model),
            prompts,
            emotions,
            split=self.split,
            limit=self.max_samples_per_emotion,
        )
