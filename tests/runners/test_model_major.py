"""The runner finishes one model before the next, and gives what Kedro's own runner gives."""

from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner

from emotion_circuits.runners import ModelMajorRunner
from emotion_circuits.runners.model_major import model_major_order


def add(left, right):
    return left + right


def study(models):
    phase = Pipeline(
        [
            Node(add, ["prompts", "model"], "activations", name="capture"),
            Node(add, ["activations", "prompts"], "vectors", name="fit"),
            Node(add, ["vectors", "model"], "sweep", name="sweep"),
        ]
    )
    shared = Pipeline([Node(add, ["raw", "raw"], "prompts", name="read")])
    copies = [Pipeline(phase, namespace=model, inputs={"prompts"}) for model in models]
    compared = Node(add, [f"{model}.vectors" for model in models[:2]], "overlap", name="compare")
    return sum([shared, *copies], Pipeline([compared]))


def test_each_model_is_finished_before_the_next_begins():
    order = [node.namespace for node in model_major_order(study(["m1", "m2", "m3"]))]
    of_models = [namespace for namespace in order if namespace]
    assert of_models == ["m1"] * 3 + ["m2"] * 3 + ["m3"] * 3


def test_kedros_own_order_would_hold_all_models_at_once():
    order = [node.namespace for node in study(["m1", "m2"]).nodes if node.namespace]
    assert order != ["m1"] * 3 + ["m2"] * 3


def test_a_pair_that_needs_the_model_in_memory_goes_before_the_next_model():
    def phase(name):
        return Pipeline(
            [
                Node(add, ["raw", "language_model"], "vectors", name="fit"),
                Node(add, ["vectors", "language_model"], "sweep", name="sweep"),
            ],
            namespace=name,
            inputs={"raw"},
        )

    def compare(a, b):
        return Pipeline(
            [
                Node(add, [f"{a}.vectors", f"{b}.vectors"], f"{a}_{b}.map", name=f"align_{a}_{b}"),
                Node(
                    add,
                    [f"{a}_{b}.map", f"{b}.language_model"],
                    f"{a}_{b}.steered",
                    name=f"steer_{a}_{b}",
                ),
            ]
        )

    models = ("zebra", "ant", "cat")  # the names' order must not be what does it
    pipeline = sum((phase(name) for name in models), Pipeline([]))
    pipeline += compare("ant", "cat") + compare("ant", "zebra") + compare("cat", "zebra")
    loaded, loads = None, []
    for node in model_major_order(pipeline):
        for name in node.inputs:
            if name.endswith("language_model") and name != loaded:
                loaded = name
                loads.append(name)
    assert len(loads) == len(models)


def test_every_node_comes_after_what_it_needs():
    pipeline = study(["m1", "m2", "m3"])
    order = model_major_order(pipeline)
    assert set(order) == set(pipeline.nodes)
    for node, needed in pipeline.node_dependencies.items():
        assert all(order.index(parent) < order.index(node) for parent in needed)


def test_results_equal_those_of_kedros_sequential_runner():
    results = []
    for runner in (SequentialRunner(), ModelMajorRunner()):
        names = ("raw", "m1.model", "m2.model")
        catalog = DataCatalog({name: MemoryDataset(i + 1) for i, name in enumerate(names)})
        outputs = runner.run(study(["m1", "m2"]), catalog)
        results.append({name: dataset.load() for name, dataset in outputs.items()})
    assert results[0] == results[1]
    assert set(results[0]) == {"m1.sweep", "m2.sweep", "overlap"}
