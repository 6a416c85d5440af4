"""Reading what `save_pretrained` wrote, from the hub or a folder; the same for every model."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from emotion_circuits.errors import InputError

# What transformers raises for files that are missing, torn, of another shape or unknown to it.
_FAILURES = (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError)


def check_folder(what: str, source: str) -> None:
    """Refuse a folder that cannot be loaded, before anything heavy begins.

    Args:
        what: What the line shall name, for example ``model 'gpt2_small'``.
        source: Taken for a folder where one of that name exists, or where it looks like a path;
            else it is a hub id, and nothing is checked.

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
            found = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
            raise InputError(f"{what}: folder {source!r} has no {pattern}; it holds {found}")


def from_pretrained(
    auto_class: Any, what: str, *, source: str, revision: str | None, **options: Any
) -> Any:
    """Load with one of transformers' auto classes, without ever running a repository's own code.

    Args:
        auto_class: Such as ``AutoModelForCausalLM``.
        what: What the line shall name if it fails.
        source: A hub id, or a folder.
        revision: Branch, tag or commit; None for the default one.
        options: Handed on.

    Raises:
        InputError: If it cannot be loaded; one line names it and says why.
    """
    try:
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
    """Load a model whose files hold exactly the weights that it needs, as safetensors.

    transformers fills a weight that is missing or of another shape with random numbers and goes
    on; what such a model says is not what its name promises.

    Args:
        auto_class: Such as ``AutoModelForCausalLM``.
        what: What the line shall name if it fails.
        source: A hub id, or a folder.
        revision: Branch, tag or commit; None for the default one.
        refuse_unexpected: Whether weights that the model has no place for are an error. They are
            one for a language model, whose configuration may be of another size than its files;
            a classifier's files often hold parts of the model that it was made from.
        options: Handed on.

    Returns:
        The model.

    Raises:
        InputError: If it cannot be loaded, or its weights do not fit; one line names them.
    """
    model, report = from_pretrained(
        auto_class,
        what,
        source=source,
        revision=revision,
        use_safetensors=True,
        ignore_mismatched_sizes=True,  # they are refused below, by their names
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


def load_tokenizer(what: str, *, source: str, revision: str | None) -> PreTrainedTokenizerFast:
    """Load a fast tokenizer.

    Raises:
        InputError: If it cannot be loaded, or has no fast version.
    """
    tokenizer = from_pretrained(AutoTokenizer, what, source=source, revision=revision)
    if not tokenizer.is_fast:
        raise InputError(f"{what}: its tokenizer has no fast version")
    return tokenizer
