"""Tiny models of all architectures whose norms and biases are not those of initialisation."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from architectures import TWO_AND_SLOW_OTHERS, save_architecture
from emotion_circuits.language_models import ModelSpec, load_language_model


@pytest.fixture(scope="module", params=TWO_AND_SLOW_OTHERS)
def shaken(request, tmp_path_factory):
    folder = save_architecture(request.param, tmp_path_factory.mktemp(request.param))
    with torch.no_grad():  # biases and gains are 0 and 1 at first, and would hide a mistake
        plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        torch.manual_seed(1)
        for weight in plain.parameters():
            if weight.dim() == 1:
                weight.add_(0.3 * torch.randn_like(weight))
        plain.save_pretrained(folder)
    model = load_language_model(ModelSpec(name=request.param, source=str(folder), device="cpu"))
    return model, plain
