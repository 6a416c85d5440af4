"""Command lines of an earlier implementation, each mapped onto a run of this project's pipelines.

The modules in ``src/analysis`` and ``src/data`` only name a command; ``docs/older_commands.md``
lists every option with its parameter.
"""

from emotion_circuits.older_commands.running import command_line

__all__ = ["command_line"]
