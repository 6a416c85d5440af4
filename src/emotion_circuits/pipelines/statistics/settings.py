"""Parameters of phase 7."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from emotion_circuits.phase_settings import PhaseSettings, without_effect

FamilyColumn = Literal[
    "profile", "phase", "model_name", "emotion", "layer", "alpha", "comparison", "metric_name"
]
PhaseName = Literal["residual", "random", "head", "head_screening", "circuit"]


class StatisticsSettings(PhaseSettings):
    """Intervals, tests, corrections and power of effects."""

    mode: Literal["effect", "power", "k", "all"] = "all"
    models: Literal["all"] | tuple[str, ...] = Field(
        "all", description="models whose results, and whose pairs' results, are read"
    )
    phases: Literal["all"] | tuple[PhaseName, ...] = Field(
        "all", description="phases whose effects are listed"
    )
    output_dir: str | None = without_effect(
        None, description="folder of the tables; null: the profile's"
    )
    alpha: float = Field(0.05, gt=0, lt=1, description="intervals cover 1 - alpha")
    n_bootstrap: int = Field(2000, ge=100, description="resamples per interval")
    n_permutations: int = Field(2000, ge=100, description="sign patterns per family")
    ci_method: Literal["percentile", "bca"] = "bca"
    paired: bool = Field(True, description="pair the values of two conditions by text")
    cluster_by: Literal["none", "template"] = "none"
    correction_family: Literal["all"] | tuple[FamilyColumn, ...] = Field(
        ("profile", "phase", "model_name", "comparison"),
        description="comparisons that agree in these columns are one family",
    )
    effect_targets: tuple[float, ...] = (0.2, 0.3, 0.5)
    power_target: float = Field(0.8, gt=0, lt=1)
    seed: int = Field(0, ge=0)
    n_jobs: int = without_effect(1, ge=-1, description="threads; -1 is one per core")

    def reads_model(self, *names: str) -> bool:
        """Say whether results of one of these models are read."""
        return self.models == "all" or any(name in self.models for name in names)

    def reads_phase(self, name: str) -> bool:
        """Say whether results of a phase are read."""
        return self.phases == "all" or name in self.phases

    @field_validator("n_jobs")
    @classmethod
    def _some_threads(cls, n_jobs: int) -> int:
        if n_jobs == 0:
            raise ValueError("give a number of threads from 1, or -1 for one per core")
        return n_jobs

    @field_validator("effect_targets")
    @classmethod
    def _positive_targets(cls, targets: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < target < 10 for target in targets):
            raise ValueError("effect sizes to plan for lie between 0 and 10")
        return targets

    @model_validator(mode="after")
    def _power_above_alpha(self) -> Self:
        if self.power_target <= self.alpha:
            raise ValueError(
                f"power_target is {self.power_target}; it must be above alpha ({self.alpha})"
            )
        return self
