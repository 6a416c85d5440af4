"""No call of transformers may run code that comes with a model, or ask the user whether to."""

import ast
from pathlib import Path

SOURCES = sorted((Path(__file__).parents[2] / "src").rglob("*.py"))


def calls(text):
    """All calls of a method ``from_pretrained`` in a source text, by line."""
    for node in ast.walk(ast.parse(text)):
        name = getattr(getattr(node, "func", None), "attr", None)
        if isinstance(node, ast.Call) and name in ("from_pretrained", "from_config"):
            yield node


def switched_off(call):
    given = {word.arg: word.value for word in call.keywords}
    value = given.get("trust_remote_code")
    return isinstance(value, ast.Constant) and value.value is False


def test_every_call_switches_remote_code_off():
    found = [(path.name, call) for path in SOURCES for call in calls(path.read_text())]
    assert len(found) >= 5
    assert not [f"{name}:{call.lineno}" for name, call in found if not switched_off(call)]


def test_no_source_mentions_remote_code_but_to_switch_it_off():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                assert isinstance(node.value, ast.Constant), path
                assert node.value.value is False, path


def test_the_check_notices_a_call_without_it():
    (call,) = calls("AutoModel.from_pretrained('x', use_safetensors=True)")
    assert not switched_off(call)
