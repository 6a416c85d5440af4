"""Parameters of comparing two results folders."""

from pydantic import Field

from emotion_circuits.phase_settings import PhaseSettings


class CompareSettings(PhaseSettings):
    """What two results may differ by."""

    tolerance: float = Field(
        1e-3,
        ge=0,
        description="largest difference of two numbers that passes: absolute where the reference "
        "is below 1, relative above",
    )
    shown: int = Field(20, ge=1, description="how many files the log lists, the worst first")
