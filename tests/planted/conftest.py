import pytest

from emotion_circuits.planted import PlantedShape, build_planted

SHAPES = {
    "gpt2": PlantedShape(),
    "llama": PlantedShape(architecture="llama", n_layers=5, n_heads=8, n_kv_heads=2, d_model=96),
    "shallow_llama": PlantedShape(architecture="llama", n_layers=3, n_heads=6, n_kv_heads=3),
}


@pytest.fixture(scope="package", params=SHAPES)
def planted(request):
    return build_planted(SHAPES[request.param], seed=3)


@pytest.fixture(scope="package", params=SHAPES)
def unplanted(request):
    return build_planted(SHAPES[request.param], seed=3, planted=False)
