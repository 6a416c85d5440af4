"""Load files in the format of `save_pretrained`, from the hub or a folder."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import transformers
from safetensors import SafetensorError

from emotion_circuits.errors import InputError
from emotion_circuits.language_models.hub import ask_hub
from emotion_circuits.progress import no_loading_bar

# Raised by transformers for files that are missing, corrupt, of a wrong shape or unknown.
_FAILURES = (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError)


def check_folder(what: str, source: str) -> None:
    """Refuse a folder that cannot be loaded, before any weights are read.

    Args:
        what: The model's name in error messages, for example ``model 'gpt2_small'``.
        source: A folder if such a folder exists or if it looks like a path; otherwise a hub id,
            which is not checked.

    Raises:
        InputError: If the folder, its configuration, tokenizer or safetensors are missing.
    """
    folder = Path(source)
    if not folder.is_dir():
        if folder.is_absolute() or source.startswith(".") or source.count("/") > 1:
            beside = sorted(path.name for path in folder.parent.glob("*/"))
            nearest = get_close_matches(folder.name, beside, n=1, cutoff=0.5)
            known = ", ".join(beside) or "none"
            line = f"{what}: there is no folder {source!r}; beside it: {known}"
            raise InputError(f"{line}; nearest: {nearest[0]}" if nearest else line)
        return
    for pattern in ("config.json", "tokenizer.json", "*.safetensors"):
        if not any(folder.glob(pattern)):
            held = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
            raise InputError(f"{what}: folder {source!r} has no {pattern}; it holds {held}")


def from_pretrained(
    auto_class: Any, what: str, *, source: str, revision: str | None, **options: Any
) -> Any:
    """Load with one of transformers' auto classes; code of the repository is never run.

    Args:
        auto_class: For example ``AutoModelForCausalLM``.
        what: The model's name in error messages.
        source: A hub id or a folder.
        revision: Branch, tag or commit; None for the default branch.
        options: Passed on to ``from_pretrained``.

    Raises:
        InputError: If loading fails; the message gives the reason in one line.
    """
    if not Path(source).is_dir():
        options["local_files_only"] = not ask_hub(what, source, revision)
    try:
        with no_loading_bar():
            return auto_class.from_pretrained(
                source, revision=revision, trust_remote_code=False, **options
            )
    except _FAILURES as error:
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise InputError(
            f"{what}: {source!r} (revision {revision}) cannot be loaded: {reason}"
        ) from error


def load_weights(
    auto_class: Any,
    what: str,
    *,
    source: str,
    revision: str | None,
    refuse_unexpected: bool,
    **options: Any,
) -> Any:
    """Load a model whose files hold all of its weights in the right shapes.

    transformers silently initializes missing or misshapen weights at random; here they are errors.

    Args:
        auto_class: For example ``AutoModelForCausalLM``.
        what: The model's name in error messages.
        source: A hub id or a folder.
        revision: Branch, tag or commit; None for the default branch.
        refuse_unexpected: Whether weights that the model does not use are an error. They are one
            for a language model, where they reveal a configuration of another size. A
            classifier's files often hold unused parts of the model it was fine-tuned from.
        options: Passed on to ``from_pretrained``; safetensors or a GGUF file must be named.

    Returns:
        The model.

    Raises:
        InputError: If loading fails or weights do not fit; the message names the weights.
    """
    model, report = from_pretrained(
        auto_class,
        what,
        source=source,
        revision=revision,
        ignore_mismatched_sizes=True,  # refused below, with their names
        output_loading_info=True,
        **options,
    )
    problems = [("lack the weights", sorted(report["missing_keys"]))]
    shapes = [
        f"{name} ({list(held)} instead of {list(wanted)})"
        for name, held, wanted in sorted(report["mismatched_keys"])
    ]
    problems.append(("have another shape of", shapes))
    if refuse_unexpected:
        problems.append(("hold beside the model's own", sorted(report["unexpected_keys"])))
    lines = [f"{verb} {_list_some(names)}" for verb, names in problems if names]
    if lines:
        raise InputError(
            f"{what}: {source!r} is not a whole {type(model).__name__}; its files "
            + "; they ".join(lines)
        )
    return model


def _list_some(names: list[str], most: int = 6) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def load_tokenizer(
    what: str, *, source: str, revision: str | None
) -> transformers.PreTrainedTokenizerFast:
    """Load a fast tokenizer.

    Raises:
        InputError: If loading fails, or the tokenizer has no fast version.
    """
    tokenizer = from_pretrained(transformers.AutoTokenizer, what, source=source, revision=revision)
    if not tokenizer.is_fast:
        raise InputError(f"{what}: its tokenizer has no fast version")
    return tokenizer
