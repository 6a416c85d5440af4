"""One Kedro pipeline per phase of the study."""
