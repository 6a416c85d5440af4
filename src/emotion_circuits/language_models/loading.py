"""Load a language model from the hub or a folder, and check it before its first use."""

from __future__ import annotations

import copy
import logging
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import torch
import transformers

from emotion_circuits.errors import InputError
from emotion_circuits.language_models.device import resolve_device
from emotion_circuits.language_models.model import LanguageModel
from emotion_circuits.language_models.pretrained import (
    check_folder,
    from_pretrained,
    load_tokenizer,
    load_weights,
)
from emotion_circuits.language_models.self_check import (
    PROBES,
    check_bridge,
    check_cache,
    mixes_lengths,
    plain_logits,
)
from emotion_circuits.language_models.sources import resolve_source
from emotion_circuits.language_models.spec import ModelSpec

if TYPE_CHECKING:
    import transformer_lens.model_bridge

logger = logging.getLogger(__name__)


def load_language_model(spec: ModelSpec) -> LanguageModel:
    """Load a model, add TransformerLens hook points, and check it.

    Args:
        spec: What to load. ``source`` is a GGUF file, a file of a package, a folder if such a
            folder exists or if it looks like a path; otherwise it is a hub id.

    Returns:
        The model in evaluation mode, without gradients and without hooks.

    Raises:
        InputError: If the model does not exist, its safetensors are missing or do not hold exactly
            its weights, or it fails a check.
    """
    spec = check_source(spec)
    return wrap_language_model(spec, _load_weights(spec), _load_tokenizer(spec))


def wrap_language_model(
    spec: ModelSpec, hf_model: Any, tokenizer: transformers.PreTrainedTokenizerFast
) -> LanguageModel:
    """Add TransformerLens hook points to a model that is already in memory, and check it.

    Args:
        spec: Name, device and BOS convention; TransformerLens uses ``source`` as the model's name.
        hf_model: Becomes the plain model. Its modules stay as they are; it is set to evaluation
            mode, moved to the spec's device, and its gradients are switched off.
        tokenizer: The model's tokenizer.

    Returns:
        The model in evaluation mode, without gradients and without hooks.

    Raises:
        InputError: If the model fails a check.
    """
    if spec.chat and not tokenizer.chat_template:
        raise InputError(
            f"model {spec.name!r} has no chat template; set its chat to false, or take a model "
            "that was tuned for chats"
        )
    device = resolve_device(spec.device)
    bos_token_id, adds_bos = bos_convention(spec, tokenizer)
    plain_model = hf_model.eval().to(device)
    probes = [tokenizer(text).input_ids for text in PROBES]
    expected = plain_logits(plain_model, probes)
    check_cache(spec, plain_model, probes[0], expected[0])
    bridge = _add_hook_points(spec, plain_model, tokenizer)
    bridge.eval().requires_grad_(False)  # also the plain model, which shares the weights
    check_bridge(spec, bridge, probes, expected)
    mixing = mixes_lengths(spec, plain_model, probes, expected)
    logger.info("Loaded %s on %s", spec.name, device)
    return LanguageModel(spec, bridge, plain_model, tokenizer, bos_token_id, adds_bos, mixing)


def _add_hook_points(
    spec: ModelSpec, plain_model: Any, tokenizer: transformers.PreTrainedTokenizerFast
) -> transformer_lens.model_bridge.TransformerBridge:
    """Add TransformerLens hook points to a copy that shares the weights.

    Raises:
        InputError: If TransformerLens cannot do so with this architecture.
    """
    from transformer_lens.model_bridge import TransformerBridge  # takes seconds

    architecture = type(plain_model).__name__
    copied = share_weights(plain_model)
    # Models that were not loaded from files do not name their class, which TransformerLens reads.
    copied.config.architectures = [architecture]
    try:
        return TransformerBridge.boot_transformers(
            spec.source,
            hf_model=copied,
            tokenizer=_copy_for_bridge(spec, tokenizer),
            device=next(plain_model.parameters()).device,
            dtype=spec.torch_dtype,
        )
    # An architecture that it does not know raises whatever the bridge comes upon.
    except Exception as error:
        # Its message goes on with a list of all architectures that it knows.
        reason = (str(error).strip() or type(error).__name__).split(". ")[0]
        raise InputError(
            f"model {spec.name!r}: TransformerLens cannot add hook points to {architecture}: "
            f"{shorten(reason, 160)}"
        ) from error


def _copy_for_bridge(spec: ModelSpec, tokenizer: transformers.PreTrainedTokenizerFast) -> Any:
    """Copy a tokenizer for TransformerLens, which sets special tokens on its tokenizer.

    TransformerLens would reload a tokenizer that does not prepend BOS, by name and without the
    revision. The copy therefore declares that it prepends BOS, and TransformerLens keeps it.
    """
    copied = copy.deepcopy(tokenizer)
    copied.init_kwargs |= {"name_or_path": spec.source, "add_bos_token": True}
    return copied


def share_weights(hf_model: Any) -> Any:
    """Copy a model's modules but not its weights.

    TransformerLens replaces modules of the model that it gets. With a copy for it, the original
    keeps the modules and attention kernel of `transformers`; the copy needs no extra memory.

    Args:
        hf_model: A model without hook points.

    Returns:
        A model with new modules and the same parameters and buffers.
    """
    tensors = [*hf_model.parameters(), *hf_model.buffers()]
    return copy.deepcopy(hf_model, {id(tensor): tensor for tensor in tensors})


def check_source(spec: ModelSpec) -> ModelSpec:
    """Find the model's files, and refuse a folder that cannot be loaded.

    Returns:
        The spec with a folder or a hub id as its ``source``.

    Raises:
        InputError: If a file, package or folder, its configuration, tokenizer or safetensors are
            missing, or a file cannot be unpacked.
    """
    source = resolve_source(f"model {spec.name!r}", spec.source)
    check_folder(f"model {spec.name!r}", source)
    return spec.model_copy(update={"source": source})


def _load_tokenizer(spec: ModelSpec) -> transformers.PreTrainedTokenizerFast:
    return load_tokenizer(f"model {spec.name!r}", source=spec.source, revision=spec.revision)


def _load_weights(spec: ModelSpec) -> Any:
    if spec.untrained_seed is not None:
        return _draw_weights(spec, spec.untrained_seed)
    return load_weights(
        transformers.AutoModelForCausalLM,
        f"model {spec.name!r}",
        source=spec.source,
        revision=spec.revision,
        refuse_unexpected=True,
        dtype=spec.torch_dtype,
        use_safetensors=True,
    )


def _draw_weights(spec: ModelSpec, seed: int) -> Any:
    """Make the model with random weights, drawn by its architecture's own initialisation.

    What such a model holds of an emotion comes from the tokens and the architecture, not from
    training. The global random state stays as it was.
    """
    config = from_pretrained(
        transformers.AutoConfig, f"model {spec.name!r}", source=spec.source, revision=spec.revision
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(
            config, dtype=spec.torch_dtype, trust_remote_code=False
        )
    logger.info("%s has random weights (untrained_seed %d)", spec.name, seed)
    return model


def bos_convention(
    spec: ModelSpec, tokenizer: transformers.PreTrainedTokenizerFast
) -> tuple[int | None, bool]:
    """Determine whether texts begin with BOS, and who prepends it.

    A model whose tokenizer names a BOS token saw it in training at the start of documents, or,
    like GPT-2, at their end, which is the start of the next. Without BOS the first word becomes
    the attention sink, so BOS is prepended unless ``prepend_bos`` is false.

    Returns:
        The BOS token's id (None: no BOS), and whether the tokenizer itself prepends it.

    Raises:
        InputError: If ``prepend_bos`` is true but the tokenizer has no BOS, or false but the
            tokenizer prepends it.
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
