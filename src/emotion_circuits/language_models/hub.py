"""Whether a repository of the hub can be read, found out with one question before files are."""

from __future__ import annotations

import logging
import os
import re
from functools import cache
from pathlib import Path
from typing import Final

from huggingface_hub import HfApi, constants, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from emotion_circuits.errors import InputError

logger = logging.getLogger(__name__)

TOKEN_VARIABLE: Final = "HF_TOKEN"
_SECONDS: Final = 10.0
_TOKEN: Final = f"a token in conf/local/credentials.yml (hub: {{token: …}}) or in {TOKEN_VARIABLE}"


def offer_token(token: str) -> None:
    """Let hub requests of this process use a token, unless the environment has one."""
    os.environ.setdefault(TOKEN_VARIABLE, token)


@cache
def ask_hub(what: str, source: str, revision: str | None) -> bool:
    """Find out whether a repository can be read, and from where.

    Without this question, transformers asks again and again when the hub cannot be reached, file
    by file.

    Args:
        what: The model's name in error messages.
        source: A hub id.
        revision: Branch, tag or commit; None for the default branch.

    Returns:
        Whether files are read from the hub; False if it cannot be reached, and the files that were
        downloaded earlier must do.

    Raises:
        InputError: If the repository or revision does not exist, its licence was not accepted, or
            the hub cannot be reached and the repository was never downloaded.
    """
    if constants.HF_HUB_OFFLINE:
        return False
    named = f"{what}: {source!r}"
    try:
        found = HfApi().model_info(source, revision=revision, timeout=_SECONDS)
        if found.gated:
            HfApi().auth_check(source)
    except HFValidationError as error:
        raise InputError(f"{named} is neither a folder nor a hub id: {error}") from error
    except GatedRepoError as error:
        who = (
            "the token's owner has not" if _has_token() else f"that needs {_TOKEN}, whose owner has"
        )
        raise InputError(
            f"{named} is only for those who accepted its licence on the hub; {who} done so"
        ) from error
    except RepositoryNotFoundError as error:
        hint = "" if _has_token() else f"; a private one needs {_TOKEN}"
        raise InputError(f"{named} is not on the hub{hint}") from error
    except RevisionNotFoundError as error:
        raise InputError(f"{named} has no revision {revision!r} on the hub") from error
    # Whatever stands between here and the hub: no network, a proxy, a hub that is down.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        if isinstance(try_to_load_from_cache(source, "config.json", revision=revision), str):
            logger.warning(
                "The hub cannot be reached (%s); %s is read from the files downloaded earlier",
                reason,
                what,
            )
            return False
        raise InputError(
            f"{named} cannot be loaded: the hub cannot be reached ({reason}) and the files were "
            f"not downloaded before; connect, set source to a folder, or copy the hub's cache "
            f"from a machine that ran hf download {source}"
        ) from error
    return True


def commit_of(what: str, source: str, revision: str | None, *, ask: bool) -> str:
    """Find the commit that a repository's revision stands for now.

    Args:
        what: The model's name in error messages.
        source: A hub id.
        revision: Branch, tag or commit; None for the default branch.
        ask: Whether to ask the hub even if files were downloaded earlier.

    Returns:
        The commit on the hub; that of the files downloaded earlier, if the hub is not asked or
        cannot be reached.

    Raises:
        InputError: As ``ask_hub``, or if the hub must not be asked and nothing was downloaded.
    """
    if revision is not None and re.fullmatch("[0-9a-f]{40}", revision):
        return revision
    path = try_to_load_from_cache(source, "config.json", revision=revision)
    is_there = isinstance(path, str)
    if (ask or not is_there) and ask_hub(what, source, revision):
        found = HfApi().model_info(source, revision=revision, timeout=_SECONDS)
        if found.sha:
            return found.sha
    if not is_there:
        raise InputError(f"{what}: {source!r} was never downloaded, and no hub names its commit")
    return Path(str(path)).parent.name


def _has_token() -> bool:
    return bool(os.environ.get(TOKEN_VARIABLE))
