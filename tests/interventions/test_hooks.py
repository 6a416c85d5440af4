"""Hooks are registered in one package only."""

import re

PATTERN = re.compile(
    r"register_\w*(forward|backward)\w*hook|(fwd|bwd)_hooks\s*=|\.hooks\(|\badd_(perma_)?hook|"
    r"run_with_hooks"
)


def test_only_interventions_register_hooks(project_root):
    source = project_root / "src"
    own = source / "emotion_circuits" / "interventions"
    inside, outside = [], []
    for path in sorted(source.rglob("*.py")):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if PATTERN.search(line):
                lines = inside if path.is_relative_to(own) else outside
                lines.append(f"{path.relative_to(project_root)}:{number}: {line.strip()}")
    assert inside  # the pattern finds hooks where there are some
    assert not outside, "hooks outside of interventions/:\n" + "\n".join(outside)
