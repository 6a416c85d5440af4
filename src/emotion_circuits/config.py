"""Configuration of a profile, the Kedro environment that names models and parameters."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from kedro.config import MissingConfigException, OmegaConfigLoader
from kedro.framework import project
from kedro.utils import find_kedro_project
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.names import check_name

# Runtime parameters that name folders and files. The catalog reads them; no phase does.
ROOT_PARAMETERS = frozenset(
    {
        *("results_root", "models_root", "data_root", "evaluators_root", "reference", "candidate"),
        *("goemotions_train", "goemotions_dev", "goemotions_labels", "imported_vectors"),
        *("activations_file", "subspaces_root"),
    }
)

# Runtime parameters that say how a run treats what is there.
RUN_PARAMETERS = frozenset({"fresh", "accept_mixed", "dry_run"})

# All that a profile's globals.yml may name.
GLOBAL_NAMES = frozenset(
    {
        *("dataset_input", "fresh_prompts", "models", "pairs", "max_resident"),
        *("evaluators", "evaluator_device", "emotions", "neutral", "target_metrics"),
        *("marking_words", "goemotions_train", "goemotions_dev", "goemotions_labels"),
        "imported_vectors",
    }
)


class ProfileConfigLoader(OmegaConfigLoader):
    """Kedro's configuration loader, with the profile's name as an attribute.

    Kedro builds pipelines without naming the environment. Every entry point (run, viz, notebook,
    session) creates a loader first, so the newest loader knows the profile. When its profile or
    runtime parameters differ from the previous loader's, the pipelines are built anew.

    OmegaConf's resolvers are global to the process, and each new loader replaces them. A loader
    registers its own again on every access, so two sessions in one process keep their own paths.
    """

    newest: ClassVar[ProfileConfigLoader | None] = None

    def __init__(
        self,
        conf_source: str | Path,
        env: str | None = None,
        runtime_params: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> None:
        _check_profile(Path(conf_source), env, arguments)
        # What was read stays what the session runs with; reading YAML takes half a second.
        self._read: dict[str, dict[str, Any]] = {}
        # Set first, because the parent reads the globals, which may refer to the profile.
        self.profile = env or arguments["default_run_env"]
        super().__init__(conf_source, env, runtime_params, **arguments)
        former, ProfileConfigLoader.newest = ProfileConfigLoader.newest, self
        if former is not None and former._source() != self._source():
            project.pipelines.configure(project.pipelines._pipelines_module)

    def _source(self) -> tuple[str, str, dict[str, Any] | None]:
        return str(self.conf_source), self.profile, self.runtime_params

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Read one kind of configuration with this loader's own resolvers."""
        self._register_globals_resolver()
        OmegaConf.register_resolver("profile", lambda: self.profile, replace=True)
        if key not in self._read:
            self._read[key] = self._checked(key)
        return copy.deepcopy(self._read[key])

    def __setitem__(self, key: str, value: Any) -> None:
        """Set one kind of configuration; what refers to it is read again."""
        self._read.clear()
        super().__setitem__(key, value)

    def _checked(self, key: str) -> dict[str, Any]:
        with _in_one_line(self.profile):
            configuration = (
                self._credentials() if key == "credentials" else super().__getitem__(key)
            )
        if key == "parameters":
            self._check_top_level(configuration)
        if key == "globals":
            _check_globals(configuration, self.profile)
        return configuration

    def _credentials(self) -> dict[str, Any]:
        """Read credentials of the profile and, over them, those of ``conf/local``.

        Kedro reads ``conf/local`` only where it is the profile; here it holds what no profile may.
        """
        local = Path(self.conf_source) / "local"
        patterns = self.config_patterns["credentials"]
        own = {}
        if local.is_dir():
            own = self.load_and_merge_dir_config(str(local), patterns, "credentials", set(), True)
        try:
            return {**super().__getitem__("credentials"), **own}
        except MissingConfigException:
            if own:
                return own
            raise

    def _check_top_level(self, parameters: dict[str, Any]) -> None:
        """Refuse a parameter group that conf/base lacks; Kedro would ignore it silently."""
        base = self.load_and_merge_dir_config(
            self._get_conf_env_path(self.base_env),
            self.config_patterns["parameters"],
            "base",
            set(),
        )
        known = [*base, *sorted(ROOT_PARAMETERS | RUN_PARAMETERS)]
        for name in parameters:
            if name not in known:
                raise unknown_name("parameter", name, known)


@contextmanager
def _in_one_line(profile: str) -> Iterator[None]:
    """Report a file that is not YAML, or not a table, in one line that names file and place."""
    try:
        yield
    except InputError:
        raise
    except (YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        reason = str(error).strip() or "too deeply nested"
        raise InputError(f"configuration of profile {profile!r}: {reason}") from error


def _check_globals(tables: Mapping[str, Any], profile: str) -> None:
    """Refuse a name in globals.yml that nothing reads; Kedro would ignore it silently."""
    for name in tables:
        # OmegaConf's templates begin with an underscore.
        if name not in GLOBAL_NAMES and not str(name).startswith("_"):
            raise unknown_name("name", name, sorted(GLOBAL_NAMES), f"globals.yml of {profile!r}")


def _check_profile(conf_source: Path, env: str | None, arguments: dict[str, Any]) -> None:
    if env is None:
        return
    check_name("profile", env)  # otherwise ../x would read and write outside the folders
    if not conf_source.is_dir() or (conf_source / env).is_dir():
        return
    profiles = (path.name for path in conf_source.iterdir() if path.is_dir())
    known = sorted(name for name in profiles if name != arguments.get("base_env"))
    raise unknown_name("profile", env, known, where=f"folder '{conf_source.name}'")


def current_config() -> ProfileConfigLoader:
    """Return the configuration that the pipelines are built for.

    This is the newest session's configuration. Without a session (``kedro registry list``) it is
    that of the environment named by ``KEDRO_ENV``, or of the default profile.

    Raises:
        InputError: If there is no session and the current folder is outside any Kedro project.
    """
    if ProfileConfigLoader.newest is not None:
        return ProfileConfigLoader.newest
    root = find_kedro_project(Path.cwd())
    if root is None:
        raise InputError(
            f"no Kedro project in {Path.cwd()} or above it; run from the project's folder"
        )
    return ProfileConfigLoader(
        str(root / project.settings.CONF_SOURCE),
        env=os.environ.get("KEDRO_ENV"),
        **project.settings.CONFIG_LOADER_ARGS,
    )
