"""The engine gives what full recomputation gives, in whatever company a row runs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from transformers import AutoModelForCausalLM

from architectures import ARCHITECTURES, save_architecture
from drawn_rows import TABLES, build_row
from emotion_circuits.interventions import generate_rows, planned
from emotion_circuits.language_models import ModelSpec, load_language_model
from recomputation import reference_generate

# float32, sums in another order (the batch, the cache, the fused kernel); logits are of order 10.
TOLERANCE = 1e-4
N_STEPS = 6


@pytest.fixture(scope="module", params=ARCHITECTURES)
def loaded(request, tmp_path_factory):
    folder = save_architecture(request.param, tmp_path_factory.mktemp(request.param))
    model = load_language_model(ModelSpec(name=request.param, source=str(folder), device="cpu"))
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, plain


@settings(max_examples=40)
@given(table=TABLES)
def test_any_table_equals_recomputing_each_row_alone(loaded, table):
    model, plain = loaded
    rows = [build_row(recipe, model) for recipe in table]
    ledger = []
    results = generate_rows(model, rows, max_new_tokens=N_STEPS, keep_logits=True, ledger=ledger)
    for index, (row, result) in enumerate(zip(rows, results, strict=True)):
        ids, logits = reference_generate(plain, model.name, row.prompt_ids, row.condition, N_STEPS)
        assert result.token_ids == ids
        scale = max(1.0, logits.abs().max().item() / 10)
        assert (result.logits - logits).abs().max() <= TOLERANCE * scale
        seen = np.zeros_like(planned(row.condition, n_prompt=row.n_prompt, n_steps=N_STEPS))
        for line in ledger:
            if line.row == index:
                seen[line.intervention, line.step, line.position] = True
        wanted = planned(row.condition, n_prompt=row.n_prompt, n_steps=N_STEPS)
        assert (seen[:, : len(ids)] == wanted[:, : len(ids)]).all()
        assert not seen[:, len(ids) :].any()
