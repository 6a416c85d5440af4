"""Each model is loaded once, few at a time, and its memory is given back."""

import gc
import subprocess
import sys
import textwrap
import weakref

import pytest

from emotion_circuits.language_models.residency import ResidentPool


class Model:
    def __init__(self):
        self.itself = self  # a circle, as modules and their hooks make


def test_a_model_is_loaded_once_until_it_is_released():
    pool = ResidentPool()
    first = pool.get("a", Model)
    assert pool.get("a", Model) is first
    assert pool.loads["a"] == 1
    pool.release("a")
    assert pool.get("a", Model) is not first
    assert pool.loads["a"] == 2


def test_room_is_made_before_the_next_model_is_loaded():
    pool = ResidentPool(max_resident=2)
    alive_while_loading = []

    def load():
        alive_while_loading.append(len(pool))
        return Model()

    for key in "abcd":
        pool.get(key, load)
    assert alive_while_loading == [0, 1, 1, 1]
    assert "d" in pool
    assert "a" not in pool


def test_a_released_model_leaves_memory():
    gc.disable()  # only the release itself may collect
    try:
        pool = ResidentPool()
        alive = weakref.ref(pool.get("a", Model))
        assert alive() is not None
        pool.release("a")
        assert alive() is None
    finally:
        gc.enable()


def test_a_pool_without_room_is_refused():
    with pytest.raises(ValueError, match="max_resident is 0"):
        ResidentPool(max_resident=0)


def test_importing_the_package_again_releases_what_the_first_import_held():
    script = textwrap.dedent(
        """
        import sys
        from emotion_circuits.language_models.residency import resident as first
        first.get("a", object)
        for name in [name for name in sys.modules if name.startswith("emotion_circuits")]:
            del sys.modules[name]
        from emotion_circuits.language_models.residency import resident as second
        assert second is not first
        assert len(first) == 0
        """
    )
    subprocess.run([sys.executable, "-c", script], check=True)
