"""Rows with names in them: looked up, put in front, reused, frozen, exported."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch.autograd import gradcheck
from torch.func import functional_call

from tests.trainer.inputs import SHOPS, dataset, made, reopened, reviews
from tests.trainer.trainings import build, spec, trained
from trainer.data.dataset import Dataset
from trainer.export import export
from trainer.modules.column_embedding import ColumnEmbedding
from trainer.saved.reopened import network_of
from trainer.spec.data.layout import Category, Numbers, Tokens
from trainer.spec.errors import InvalidSpec
from trainer.spec.job import JobSpec
from trainer.spec.layers.column_embedding import ColumnEmbedding as Layer
from trainer.spec.resolve import Resolution, resolve

DENSE = [{"name": "hidden1", "kind": "dense", "units": 6}]
PARTS = (
    Numbers(width=2),
    Category(column="shop", vocabulary_size=4, dimension=3),
    Tokens(column="review", length=3, vocabulary_size=5, dimension=2),
)


def resolved(data: Dataset, layers: list[Any] | None = None, **ref: Any) -> Resolution:
    what = spec(DENSE if layers is None else layers, dataset={"target": "good"} | ref)
    return resolve(JobSpec.model_validate(what), data.schema, {})


def problems(data: Dataset, layers: list[Any], **ref: Any) -> dict[str, str]:
    with pytest.raises(InvalidSpec) as refused:
        resolved(data, layers, **ref)
    return {problem.pointer: problem.code for problem in refused.value.problems}


def _vocabulary(found: Resolution) -> int:
    """Return how many tokens the first part of the input tells apart."""
    first = found.inputs.layout[0]
    assert isinstance(first, Tokens)
    return first.vocabulary_size


def filled_module() -> ColumnEmbedding:
    module = ColumnEmbedding(PARTS)
    generator = torch.Generator().manual_seed(1)
    for table in module.parameters():
        table.data.normal_(generator=generator)
    return module


def test_numbers_pass_names_are_looked_up_and_texts_are_means() -> None:
    module = filled_module()
    shop, review = (
        module.get_parameter("embedding_1"),
        module.get_parameter("embedding_2"),
    )
    x = torch.tensor([[0.5, -2.0, 3, 4, 1, 0], [7.0, 8.0, 0, 0, 0, 0]])

    out = module(x)

    expected = torch.cat([x[0, :2], shop[3], (review[4] + review[1]) / 2])
    torch.testing.assert_close(out[0], expected)
    # an empty text is the mean of nothing, which is 0 and not a number that is none
    empty = torch.cat([x[1, :2], shop[0], torch.zeros(2)])
    torch.testing.assert_close(out[1], empty)


def test_its_gradients_are_those_of_its_formula() -> None:
    module = filled_module().double()
    x = torch.tensor([[0.5, -2.0, 3, 4, 1, 0], [7.0, 8.0, 2, 2, 2, 3]]).double()
    tables = {n: t.detach().requires_grad_() for n, t in module.named_parameters()}

    def outputs(*values: torch.Tensor) -> Any:
        return functional_call(module, dict(zip(tables, values, strict=True)), (x,))

    assert gradcheck(outputs, tuple(tables.values()))


def test_every_step_of_a_sequence_is_looked_up_alike() -> None:
    module = filled_module()
    x = torch.tensor([[0.5, -2.0, 3, 4, 1, 0], [7.0, 8.0, 2, 2, 0, 0]])

    torch.testing.assert_close(module(x[None]), module(x)[None])


@pytest.mark.parametrize("value", [-7.0, 1e9, 2.5])
def test_no_number_stops_a_batch(value: float) -> None:
    assert torch.isfinite(filled_module()(torch.full((2, 6), value))).all()


def test_a_layer_is_put_in_front_of_names() -> None:
    found = resolved(reviews())

    names = [(row.name, row.kind, row.inputs) for row in found.layers]
    assert names == [
        ("features", "column_embedding", ("input",)),
        ("hidden1", "dense", ("features",)),
        ("output", "dense", ("hidden1",)),
    ]
    # the price, half of 70 categories, and the 32 numbers of a text
    assert found.layers[0].output_shape == (32 + 35 + 1,)
    assert found.layer_table()[0]["parameters"] == (
        _vocabulary(found) * 32 + (SHOPS + 2) * 35
    )


def test_resolving_again_changes_nothing() -> None:
    data = reviews()
    once = resolved(data).resolved()

    again = resolve(JobSpec.model_validate(once), data.schema, {}).resolved()

    assert again == once


def test_a_table_of_numbers_and_few_categories_is_as_it_was() -> None:
    data = dataset(
        {
            "shop": ("category", np.array([0, 1, -1, 1], np.int32)),
            "price": ("number", np.arange(4.0)),
            "good": ("integer", np.array([0, 1, 0, 1])),
        },
        {"shop": ["one", "two"]},
    )
    found = resolved(data)

    assert [row.name for row in found.layers] == ["hidden1", "output"]
    assert found.spec.dataset.encodings == {}
    assert found.inputs.shape == (3,)


def test_every_layer_that_took_the_input_takes_the_vectors() -> None:
    layers = [
        {"name": "left", "kind": "dense", "units": 4},
        {"name": "right", "kind": "dense", "units": 4, "inputs": ["input"]},
        {"name": "both", "kind": "add", "inputs": ["left", "right"]},
    ]

    found = resolved(reviews(), layers)

    inputs = {row.name: row.inputs for row in found.layers}
    assert inputs["left"] == inputs["right"] == ("features",)


def test_a_layer_of_that_name_is_left_its_name() -> None:
    layers = [{"name": "features", "kind": "dense", "units": 4}]

    names = [row.name for row in resolved(reviews(), layers).layers]

    assert names == ["features2", "features", "output"]


def test_a_mistake_is_told_at_the_layer_as_it_was_written() -> None:
    layers = [*DENSE, {"kind": "conv2d", "filters": 3}]

    assert problems(reviews(), layers) == {"/network/layers/1/kind": "impossible_shape"}


def test_an_embedding_learns_from_the_inputs_how_many_tokens_there_are() -> None:
    layers = [{"kind": "embedding", "units": 8}, {"kind": "flatten"}]

    found = resolved(reviews(), layers, features=["review"])

    first = found.spec.network.layers[0]
    length, size = found.inputs.shape[0], _vocabulary(found)
    assert [row.name for row in found.layers][:2] == ["embedding1", "flatten1"]
    assert first.model_dump()["vocabulary_size"] == size
    assert found.layers[0].output_shape == (length, 8)


def test_an_embedding_of_several_columns_is_refused() -> None:
    layers = [{"kind": "embedding", "units": 8}, {"kind": "flatten"}]

    assert problems(reviews(), layers) == {"/network/layers/0/kind": "mixed_features"}


def test_a_layer_for_other_rows_is_refused() -> None:
    layers = [
        {"kind": "column_embedding", "columns": [{"kind": "numbers", "width": 3}]}
    ]

    assert problems(reviews(), layers) == {
        "/network/layers/0/columns": "impossible_shape"
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "m"
    made(folder, reviews(), DENSE, target="good", training={"epochs": 12})
    return folder


def test_a_text_tells_what_the_other_columns_do_not(source: Path, tmp_path) -> None:
    without = made(
        tmp_path / "m", reviews(), DENSE, target="good", features=["price", "shop"],
        training={"epochs": 12},
    )  # fmt: skip
    model, _ = reopened(source)

    assert model.description["metrics"]["test_accuracy"] >= 0.9
    assert without["metrics"]["test_accuracy"] <= 0.8


def test_what_was_never_trained_on_pushes_in_no_direction(source: Path) -> None:
    model, preprocessing = reopened(source)
    tables = model.tensors(["features.embedding_0", "features.embedding_1"])
    (ids,) = preprocessing.apply([{"review": None, "shop": "a new one", "price": None}])

    assert ids.tolist() == [0] * len(ids)  # the mean price is 0, too
    assert not tables["features.embedding_0"][0].any()
    assert not tables["features.embedding_1"][0].any()
    assert tables["features.embedding_1"][1].any(), "missing shops were trained on"


ODD = [
    {"review": "😀 great", "shop": "shop 3", "price": 20.5},
    {"review": "", "shop": None, "price": None},
    {"review": "nothing of this is known", "shop": "elsewhere", "price": -3.5},
    {"review": "w1 " * 10_000, "shop": "shop 69", "price": 0},
]


@pytest.mark.parametrize(
    ("layers", "ref"),
    [
        (DENSE, {}),
        (DENSE, {"encodings": {"shop": "one_hot", "review": "bag_of_words"}}),
        (DENSE, {"features": ["review"]}),
        (
            [{"kind": "embedding", "units": 4}, {"kind": "flatten"}],
            {"features": ["review"]},
        ),
        (
            DENSE,
            {
                "encodings": {
                    "review": {
                        "kind": "text",
                        "tokenizer": "byte_pair",
                        "vocabulary_size": 300,
                    }
                }
            },
        ),
    ],
    ids=["mixed", "without names", "text", "embedding", "byte pairs"],
)
def test_a_model_predicts_alike_in_torch_and_in_its_graph(
    layers: list[Any], ref: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "m"
    made(folder, reviews(60), layers, target="good", training={"epochs": 1}, **ref)
    network = network_of(folder)
    _, preprocessing = reopened(folder)
    x = torch.from_numpy(preprocessing.apply(ODD))

    found = export(network, x, folder / "model.onnx")

    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    (outputs,) = session.run(None, {"input": x.numpy()})
    with torch.inference_mode():
        expected = network.eval()(x)
    torch.testing.assert_close(torch.from_numpy(outputs), expected)
    assert found.route == "recorded"


def test_a_frozen_front_keeps_its_bits_and_its_vocabulary(
    source: Path, tmp_path: Path
) -> None:
    other = reviews(80, seed=9)  # its own vocabulary would number the words otherwise
    folder = tmp_path / "m"
    result = made(
        folder, other, [*DENSE, {"name": "new", "kind": "dense", "units": 4}],
        target="good", training={"epochs": 2}, sources=[source],
        reuse=[{"from": "s", "layers": ["features", "hidden1"], "freeze": ".*"}],
    )  # fmt: skip

    proved = {line["tensor"] for line in result["frozen"]}
    assert {"features.embedding_0", "features.embedding_1"} <= proved
    assert all(line["before"] == line["after"] for line in result["frozen"])
    _, theirs = reopened(source)
    _, ours = reopened(folder)
    np.testing.assert_array_equal(ours.apply(ODD), theirs.apply(ODD))


def test_a_frozen_front_trains_alike_with_and_without_the_cache(
    source: Path, tmp_path: Path
) -> None:
    reuse = [{"from": "s", "layers": "features|hidden1", "freeze": ".*"}]
    layers = [*DENSE, {"name": "new", "kind": "dense", "units": 4}]
    made_twice = [
        trained(
            build(
                spec(
                    layers, dataset={"target": "good"}, reuse=reuse, epochs=2,
                    frozen_cache=mode,
                ),
                reviews(80, seed=9),
                sources=[source],
            ).training
        )
        for mode in ("auto", "off")
    ]  # fmt: skip

    losses = [
        [row.value for report in reports for row in report.rows if "loss" in row.name]
        for reports in made_twice
    ]
    assert losses[0] == losses[1]


def test_layers_on_new_vectors_are_told_of(source: Path) -> None:
    reuse = [{"from": "s", "layers": "hidden1"}]

    found = build(
        spec(DENSE, dataset={"target": "good"}, reuse=reuse),
        reviews(),
        sources=[source],
    )

    assert any("'features' below it are new" in told for told in found.warnings)
    assert found.resolution.preprocessing_from is None


def test_a_model_from_before_is_reused_with_the_inputs_that_it_knew(tmp_path) -> None:
    old = tmp_path / "old"
    made(
        old, reviews(), DENSE, target="good", features=["shop", "price"],
        encodings={"shop": "one_hot"}, training={"epochs": 1},
    )  # fmt: skip

    found = build(
        spec(DENSE, dataset={"target": "good"}, reuse=[{"from": "s"}]),
        reviews(),
        sources=[old],
    )

    assert [row.name for row in found.network.rows] == ["hidden1", "output"]
    assert found.network.shape == (SHOPS + 1,)
    assert found.resolution.preprocessing_from == 0


def test_vectors_start_small_and_those_of_no_name_at_nothing() -> None:
    layer = Layer(name="features", columns=PARTS).filled(None)  # type: ignore[arg-type]
    module = layer.build([(6,)])
    generator = torch.Generator().manual_seed(0)
    tensors = layer.tensors([(6,)])
    with torch.no_grad():
        for name, table in module.named_parameters():
            layer.fill(name, tensors[name], table, generator)

    shop, review = module.parameters()
    assert not shop[:2].any()
    assert shop[2:].all()
    assert not review[0].any()
    assert review[1:].all()
