"""Loading a language model from the hub or a folder, and checking it before anybody uses it."""

from __future__ import annotations

import copy
import logging
from typing import Any

from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from emotion_circuits.errors import InputError
from emotion_circuits.language_models.device import resolve_device
from emotion_circuits.language_models.model import LanguageModel
from emotion_circuits.language_models.pretrained import (
    check_folder,
    load_tokenizer,
    load_weights,
)
from emotion_circuits.language_models.self_check import PROBES, check_bridge, plain_logits
from emotion_circuits.language_models.spec import ModelSpec

logger = logging.getLogger(__name__)


def load_language_model(spec: ModelSpec) -> LanguageModel:
    """Load a model, put TransformerLens hook points into it, and check it.

    Args:
        spec: What to load. ``source`` is taken for a folder where one of that name exists, or
            where it looks like a path; else it is a hub id.

    Returns:
        The model in evaluation mode, without gradients and without hooks.

    Raises:
        InputError: If there is no such model, its safetensors are missing or do not hold exactly
            its weights, or it fails a check.
    """
    check_source(spec)
    return wrap_language_model(spec, _load_weights(spec), _load_tokenizer(spec))


def wrap_language_model(
    spec: ModelSpec, hf_model: Any, tokenizer: PreTrainedTokenizerFast
) -> LanguageModel:
    """Put TransformerLens hook points on a model that is in memory already, and check it.

    Args:
        spec: Name, device and BOS convention; ``source`` is what TransformerLens calls it.
        hf_model: Goes on as the plain model, its modules untouched: in evaluation mode, on the
            spec's device, and without gradients from now on.
        tokenizer: Its tokenizer.

    Returns:
        The model in evaluation mode, without gradients and without hooks.

    Raises:
        InputError: If it fails a check.
    """
    device = resolve_device(spec.device)
    bos_token_id, adds_bos = bos_convention(spec, tokenizer)
    plain_model = hf_model.eval().to(device)
    probes = [tokenizer(text).input_ids for text in PROBES]
    expected = plain_logits(plain_model, probes)
    bridge = TransformerBridge.boot_transformers(
        spec.source,
        hf_model=share_weights(plain_model),
        tokenizer=_copy_for_bridge(spec, tokenizer),
        device=device,
        dtype=spec.torch_dtype,
    )
    bridge.eval().requires_grad_(False)  # the plain model shares the weights, so it too
    check_bridge(spec, bridge, probes, expected)
    logger.info("Loaded %s on %s", spec.name, device)
    return LanguageModel(spec, bridge, plain_model, tokenizer, bos_token_id, adds_bos)


def _copy_for_bridge(spec: ModelSpec, tokenizer: PreTrainedTokenizerFast) -> Any:
    """Copy a tokenizer, as TransformerLens sets special tokens on the one it is given.

    It would also load it again by its name, without the revision, so that it puts BOS itself;
    one that is said to do so already is taken as it is.
    """
    copied = copy.deepcopy(tokenizer)
    copied.init_kwargs |= {"name_or_path": spec.source, "add_bos_token": True}
    return copied


def share_weights(hf_model: Any) -> Any:
    """Copy a model's modules, but not its weights.

    TransformerLens replaces the modules of the model it is given; the copy stays as
    `transformers` made it, with its own attention kernel, and costs no memory.

    Args:
        hf_model: A model that no hook points were put into yet.

    Returns:
        A model of other modules with the same parameters and buffers.
    """
    tensors = [*hf_model.parameters(), *hf_model.buffers()]
    return copy.deepcopy(hf_model, {id(tensor): tensor for tensor in tensors})


def check_source(spec: ModelSpec) -> None:
    """Refuse a folder that cannot be loaded, before anything heavy begins.

    Raises:
        InputError: If the folder, its configuration, tokenizer or safetensors are missing.
    """
    check_folder(f"model {spec.name!r}", spec.source)


def _load_tokenizer(spec: ModelSpec) -> PreTrainedTokenizerFast:
    return load_tokenizer(f"model {spec.name!r}", source=spec.source, revision=spec.revision)


def _load_weights(spec: ModelSpec) -> Any:
    return load_weights(
        AutoModelForCausalLM,
        f"model {spec.name!r}",
        source=spec.source,
        revision=spec.revision,
        refuse_unexpected=True,
        dtype=spec.torch_dtype,
    )


def bos_convention(spec: ModelSpec, tokenizer: PreTrainedTokenizerFast) -> tuple[int | None, bool]:
    """Find out which token texts begin with, so that it is neither doubled nor missed.

    A model whose tokenizer names a BOS token saw it at the start of documents, or, like GPT-2,
    at their end, which is the start of the next. Without it the first word takes its part as the
    attention sink, so it is put unless the model's row in the profile says otherwise.

    Returns:
        The BOS token's id, or None for none, and whether the tokenizer puts it there itself.

    Raises:
        InputError: If BOS is asked for and the tokenizer has none, or it cannot be left out.
    """
    bos = tokenizer.bos_token_id
    probe = tokenizer(PROBES[0]).input_ids
    adds = bos is not None and probe[:1] == [bos]
    if spec.prepend_bos is False:
        if adds:
            raise InputError(
                f"model {spec.name!r}: prepend_bos is false, but its tokenizer puts BOS itself"
            )
        return None, False
    if spec.prepend_bos is True and bos is None:
        raise InputError(f"model {spec.name!r}: prepend_bos is true, but there is no BOS token")
    return bos, adds
