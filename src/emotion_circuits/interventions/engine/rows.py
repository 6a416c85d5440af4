"""Rows: a prompt with the condition under which it is continued, and the generated text."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

from jaxtyping import Float
from torch import Tensor

from emotion_circuits.errors import InputError
from emotion_circuits.interventions.conditions import BASELINE, Condition
from emotion_circuits.interventions.needs import Need
from emotion_circuits.interventions.operators import Replace
from emotion_circuits.interventions.sites import check_site
from emotion_circuits.language_models import LanguageModel


@dataclass(frozen=True)
class Row:
    """One text to generate.

    Attributes:
        prompt_ids: Tokens of the prompt, BOS included.
        condition: The interventions under which the text is generated.
        seed: Seed of the row's draws for sampling.
    """

    prompt_ids: tuple[int, ...]
    condition: Condition = BASELINE
    seed: int = 0

    @property
    def n_prompt(self) -> int:
        """Number of tokens of the prompt."""
        return len(self.prompt_ids)

    @property
    def clean_prefix(self) -> int:
        """Number of positions before the first intervention, at most ``n_prompt`` − 1."""
        interventions = self.condition.interventions
        if any(Need.WHOLE_PROMPT in item.operator.needs for item in interventions):
            return 0
        starts = [item.positions.first(self.n_prompt, 0) for item in interventions]
        return min([*starts, self.n_prompt - 1])


class Generated(NamedTuple):
    """The text that a model generated for one row.

    Attributes:
        token_ids: New tokens, including the end-of-text token if the text ended.
        logits: ``[step, vocab]`` in float32 on the CPU; ``None`` if they were not kept.
    """

    token_ids: tuple[int, ...]
    logits: Float[Tensor, "step vocab"] | None = None


def batch_key(model: LanguageModel, row: Row) -> tuple[Any, ...]:
    """Return a key of rows that can share passes.

    Prompts of any length can, if the model reads them beside padding. Rows that read few tokens at
    step 0 are apart from those that read whole prompts, since they also share that step.
    """
    n_read = row.n_prompt - row.clean_prefix if row.clean_prefix else None
    return (
        None if model.mixes_lengths else row.n_prompt,
        n_read,
        row.condition.reads_attention,
        tuple(sorted(row.condition.windows, key=repr)),
    )


def check_row(model: LanguageModel, row: Row, max_new_tokens: int) -> None:
    """Refuse a row that cannot be generated, before anything runs.

    Raises:
        InputError: If a site does not exist, an operator has another width or number of positions,
            or prompt and new tokens exceed the context or a limit of the position encoding.
    """
    if row.n_prompt == 0:
        raise InputError(f"a prompt has no tokens for model {model.name!r}")
    if row.n_prompt + max_new_tokens - 1 > model.n_ctx:
        raise InputError(
            f"a prompt of {row.n_prompt} tokens and {max_new_tokens} new ones do not fit into "
            f"model {model.name!r}, which reads at most {model.n_ctx}"
        )
    _check_rotary(model, row.n_prompt + max_new_tokens)
    for intervention in row.condition.interventions:
        site, operator = intervention.site, intervention.operator
        check_site(model, site)
        expected = model.d_head if site.point == "z" else model.d_model
        width = operator.parameters()[0].shape[-1]
        if width != expected:
            name = fields(operator)[0].name  # type: ignore[arg-type]
            raise InputError(f"{name} has {width} values; {site} has {expected}")
        if isinstance(operator, Replace) and len(operator.source) != row.n_prompt:
            raise InputError(
                f"source has {len(operator.source)} positions at {site}; the prompt has "
                f"{row.n_prompt}"
            )


# Position encodings whose frequencies depend on the length of the text read so far: keys that are
# cached before a limit differ from those that a pass over the longer text computes.
_LENGTH_DEPENDENT: Final = ("longrope", "dynamic")


def _check_rotary(model: LanguageModel, length: int) -> None:
    """Refuse a text at whose length the model would change its position encoding."""
    config = model.plain_model.config.get_text_config()
    stated = getattr(config, "rope_parameters", None) or {}
    # One encoding for all layers, or one for each type of layer.
    for rotary in [stated] if "rope_type" in stated else stated.values():
        if rotary["rope_type"] not in _LENGTH_DEPENDENT:
            continue
        limit = rotary.get("original_max_position_embeddings") or config.max_position_embeddings
        if length > limit:
            raise InputError(
                f"a text of {length} tokens is longer than the {limit} at which model "
                f"{model.name!r} changes its position encoding ({rotary['rope_type']}); allowed "
                "are shorter ones"
            )
