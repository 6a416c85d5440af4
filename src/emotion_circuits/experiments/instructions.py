"""Prompting as an intervention: an instruction in front of a prompt, or in a user's message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emotion_circuits.experiments.steering_settings import SteeringSettings
from emotion_circuits.interventions import Condition, Row, text_seed
from emotion_circuits.language_models import LanguageModel


def instructed_line(
    model: LanguageModel,
    prompt: str,
    instruction: str,
    condition: Condition,
    where: Mapping[str, Any],
    settings: SteeringSettings,
) -> tuple[Row, dict[str, Any]]:
    """Plan a prompt after an instruction.

    Args:
        model: The model.
        prompt: The prompt, which the model continues.
        instruction: Text in front of it; with ``chat``, a user's message that the model answers
            with a text that begins with the prompt.
        condition: The condition to run it under.
        where: Coordinates of the condition.
        settings: Whether there is a chat, and its system prompt.

    Raises:
        InputError: If there is a chat and the tokenizer has no chat template.
    """
    ids = tuple(
        model.encode_chat(instruction, prompt, system=settings.system_prompt)
        if settings.chat
        else model.encode(f"{instruction} {prompt}")
    )
    line = {"prompt": prompt, "instruction": instruction, **where}
    return Row(ids, condition, text_seed(prompt)), line
