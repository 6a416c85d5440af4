"""Older command line; docs/older_commands.md lists its options."""

from emotion_circuits.older_commands import command_line

main = command_line("build_dataset")

if __name__ == "__main__":
    main()
