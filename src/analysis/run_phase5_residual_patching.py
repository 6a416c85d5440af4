"""Older command line; docs/older_commands.md lists its options."""

from emotion_circuits.older_commands import command_line

main = command_line("run_phase5_residual_patching")

if __name__ == "__main__":
    main()
