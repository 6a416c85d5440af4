"""Parameters of the comparison of two results folders."""

from pydantic import Field

from emotion_circuits.phase_settings import PhaseSettings


class CompareSettings(PhaseSettings):
    """Tolerance and log of a comparison."""

    tolerance: float = Field(
        1e-3,
        ge=0,
        description="largest difference of two numbers that passes: absolute for references below "
        "1, else relative",
    )
    shown: int = Field(20, ge=1, description="number of files in the log, the worst first")
