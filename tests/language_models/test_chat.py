"""Prompts in a model's own chat template: tokens, masks, and what generation continues."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from embedded_heads import load_model, load_prompts
from emotion_circuits.circuits.paths import Path
from emotion_circuits.circuits.replacements import mean_ablated
from emotion_circuits.errors import InputError
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.interventions import BASELINE, Prompt, Row, generate_rows
from emotion_circuits.language_models import (
    ModelSpec,
    encode_prompts,
    first_text_position,
    wrap_language_model,
)
from recomputation import reference_generate
from study_emotions import FOUR

# Its special tokens are words of the embedded world, which the tokenizer splits as it likes.
TEMPLATE = (
    "{% for m in messages %}{{ 'I ' if m.role == 'system' else 'We ' }}"
    "{{ m.content }}. {% endfor %}"
    "{% if add_generation_prompt %}Dana said{% endif %}"
)


@pytest.fixture(scope="module")
def plain(project_root):
    return load_model(project_root)


@pytest.fixture
def model(plain, monkeypatch):
    monkeypatch.setattr(plain.tokenizer, "chat_template", TEMPLATE)
    spec = plain.spec.model_copy(update={"chat": True, "system_prompt": "saw the lamp"})
    return replace(plain, spec=spec)


TEXTS = ["Dana broke my lamp.", "The lamp is near the window, and I saw Dana."]


def test_each_text_is_a_users_message_and_the_text_alone_is_content(model):
    encoded = encode_prompts(model, TEXTS, ["broke", "near"])
    for row, (text, cue) in enumerate(zip(TEXTS, ("broke", "near"), strict=True)):
        written = model.tokenizer.decode(model.encode(text))
        assert written == f"I saw the lamp. We {text}. Dana said"
        ids = encoded.token_ids[row]
        assert model.tokenizer.decode(ids[encoded.content_mask[row]]).strip(" .") == text.strip(".")
        assert model.tokenizer.decode(ids[encoded.cue_mask[row]]).strip() == cue
        assert int(encoded.attention_mask[row].sum()) == len(model.encode(text))
        first = first_text_position(model, text)
        assert encoded.content_mask[row].int().argmax() == first
        assert model.tokenizer.decode(ids[:first]).strip() == "I saw the lamp. We"


def test_without_chat_masks_are_as_they_were(plain):
    encoded = encode_prompts(plain, TEXTS)
    assert encoded.content_mask.sum(1).tolist() == [
        len(plain.tokenizer(text, add_special_tokens=False).input_ids) for text in TEXTS
    ]
    assert first_text_position(plain, TEXTS[0]) == 1
    assert plain.encode(TEXTS[0]) == plain.encode_text(TEXTS[0])


def test_generation_begins_the_answer(model):
    ids = model.encode(TEXTS[0])
    assert ids == model.encode_chat(TEXTS[0], "", system="saw the lamp")
    (said,) = generate_rows(model, [Row(tuple(ids))], max_new_tokens=6)
    wanted, _ = reference_generate(model.plain_model, "llama", ids, BASELINE, 6)
    assert list(said.token_ids) == list(wanted)


def test_heads_leave_out_the_beginning_of_the_template(model, project_root):
    data = PairedPrompts.prepare(
        model, load_prompts(project_root, n_pairs=2), FOUR, split="all", limit=None
    )
    assert data.n_special == first_text_position(model, data.table["text"][0]) > 1
    # All prompts begin with the same tokens.
    assert len(np.unique([ids[: data.n_special] for ids in data.ids], axis=0)) == 1


def test_what_cannot_be_a_chat_is_refused_in_one_line(plain, model, monkeypatch):
    with pytest.raises(InputError, match="system_prompt needs chat: true"):
        ModelSpec(name="m", source="s", system_prompt="Be kind.")
    changed = TEMPLATE.replace("m.content", "m.content | upper")
    monkeypatch.setattr(plain.tokenizer, "chat_template", changed)
    with pytest.raises(InputError, match=r"changes the text 'Dana broke my lamp\.'"):
        encode_prompts(model, TEXTS)
    monkeypatch.setattr(plain.tokenizer, "chat_template", None)
    spec = plain.spec.model_copy(update={"chat": True})
    with pytest.raises(InputError, match="no chat template; set its chat to false"):
        wrap_language_model(spec, plain.plain_model, plain.tokenizer)


def test_circuits_align_texts_and_not_the_template(model):
    """The last positions of unequal prompts correspond; the template before the text does not."""
    clean, partner = (torch.tensor([model.encode(text)]) for text in TEXTS)
    first = first_text_position(model, TEXTS[0])
    path = Path.between(model, clean, partner, [])
    assert path.n_aligned == min(clean.shape[1], partner.shape[1]) - first
    (made,) = mean_ablated(model, [tuple(clean[0].tolist())], [tuple(partner[0].tolist())])
    (change, *_) = made.interventions.values()
    assert change.positions == Prompt(clean.shape[1] - first)


def test_a_text_that_the_template_repeats_is_found_where_it_stands(model):
    encoded = encode_prompts(model, ["Dana said"])
    (ids,), (content,) = encoded.token_ids, encoded.content_mask
    assert model.tokenizer.decode(ids) == "I saw the lamp. We Dana said. Dana said"
    assert content.int().argmax() == first_text_position(model, TEXTS[0])
