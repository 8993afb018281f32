"""Texts: vocabularies of the training rows, ids that are saved and come back."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import load_file, save_file

from tests.trainer.inputs import dataset, texts
from trainer.data.dataset import open_dataset
from trainer.errors import BadValue, NotADataset, PreprocessingLost
from trainer.preprocessing import Preprocessing
from trainer.preprocessing.tokens import numbered, trained
from trainer.spec.data.encodings import BagOfWords, Encoding, Text
from trainer.spec.data.schema import Column

TEXTS = texts("The cat, the dog!", "the CAT sat", "dog dog 😀", None, "", "zebra zebra")
TRAIN = np.arange(5)


def fitted(encoding: Encoding, rows: np.ndarray = TRAIN) -> Preprocessing:
    data = dataset({"said": ("text", TEXTS)})
    whole = encoding.filled(data.schema.columns[0])
    return Preprocessing.fit(
        data.schema, data.columns, ["said"], rows, standardize=True,
        encodings={"said": whole},
    )  # fmt: skip


def saved(preprocessing: Preprocessing, folder: Path) -> Path:
    text = json.dumps({"preprocessing": preprocessing.described()})
    (folder / "model.json").write_text(text)
    save_file(dict(preprocessing.arrays), folder / "preprocessing.safetensors")
    return folder


def said(preprocessing: Preprocessing, *rows: str | None) -> list[list[float]]:
    ids: list[list[float]] = preprocessing.apply(
        [{"said": row} for row in rows]
    ).tolist()
    return ids


def test_the_commonest_words_of_the_training_rows_have_the_first_numbers() -> None:
    once = fitted(Text(length=5, minimum_frequency=1))

    # the, dog: 3 times; cat twice; the others once, in the order of their characters
    assert said(once, "the dog cat") == [[3, 2, 4, 0, 0]]
    assert said(once, "THE  dog,cat") == [[3, 2, 6, 4, 0]]


def test_a_word_of_no_training_row_is_unknown() -> None:
    assert said(fitted(Text(length=3)), "zebra cat") == [[1, 4, 0]]


def test_a_word_that_is_too_rare_is_unknown() -> None:
    often = fitted(Text(length=3, minimum_frequency=3))

    assert said(often, "the cat dog") == [[3, 1, 2]]


def test_a_vocabulary_holds_no_more_than_was_asked_for() -> None:
    small = fitted(Text(length=3, vocabulary_size=3))

    assert said(small, "dog the cat") == [[2, 1, 1]]


def test_missing_and_empty_texts_have_no_tokens() -> None:
    np.testing.assert_array_equal(fitted(Text(length=2)).apply(
        {"said": texts(None, "", "  ")}), np.zeros((3, 2)))  # fmt: skip


def test_a_long_text_is_cut_and_its_rest_is_not_read() -> None:
    assert said(fitted(Text(length=2)), "cat dog " * 1_000_000) == [[4, 2]]


@pytest.mark.parametrize("word", ["[PAD]", "[UNK]"])
def test_a_reserved_token_in_a_text_is_words_like_any_other(word: str) -> None:
    assert said(fitted(Text(length=4)), f"cat {word} dog") == [[4, 1, 1, 1]]


def test_signs_are_words_even_outside_the_basic_plane() -> None:
    once = fitted(Text(length=2, minimum_frequency=1))

    (smile, _), (other, _) = said(once, "😀", "🦓")
    assert smile > 1
    assert other == 1


@pytest.mark.parametrize("word", ["🦓", "naïve", "\u0000", "日本語"])
def test_nothing_is_unknown_to_a_byte_pair_encoding(word: str) -> None:
    pairs = fitted(Text(tokenizer="byte_pair", length=12))

    (ids,) = said(pairs, word)
    assert ids[0] > 1
    assert 1 not in ids


def test_a_byte_pair_encoding_joins_what_is_often_side_by_side() -> None:
    common = ["banana"] * 9
    pairs = trained(common, Text(tokenizer="byte_pair", vocabulary_size=300))
    bytes_only = trained(common, Text(tokenizer="byte_pair", vocabulary_size=258))

    counts = [len(next(numbered(each, ["banana"]))) for each in (pairs, bytes_only)]
    assert counts == [1, 6]


@pytest.mark.parametrize("tokenizer", ["words", "byte_pair"])
def test_the_same_texts_make_the_same_tokenizer_in_any_process(tokenizer: str) -> None:
    program = (
        "from trainer.preprocessing.tokens import trained\n"
        "from trainer.spec.data.encodings import Text\n"
        "lines = [f'{n % 7} b{n % 5} c{n % 3} d{n}' for n in range(300)]\n"
        f"print(trained(lines, Text(tokenizer={tokenizer!r}, vocabulary_size=290)))"
    )
    made = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, check=True
        ).stdout
        for _ in range(2)
    }

    assert len(made) == 1


@pytest.mark.parametrize(
    "encoding",
    [
        Text(length=4),
        Text(length=4, tokenizer="byte_pair"),
        BagOfWords(),
        BagOfWords(weighting="tf_idf"),
    ],
    ids=["words", "pairs", "bag", "tf_idf"],
)
def test_a_vocabulary_comes_back_from_the_models_folder(
    encoding: Encoding, tmp_path: Path
) -> None:
    before = fitted(encoding)

    after = Preprocessing.load(saved(before, tmp_path))

    np.testing.assert_array_equal(
        after.apply({"said": TEXTS}), before.apply({"said": TEXTS})
    )


@pytest.mark.parametrize("content", ["{}", "[]", '{"model": {"type": "WordLevel"}}'])
def test_a_tokenizer_that_is_none_is_no_crash(content: str, tmp_path: Path) -> None:
    folder = saved(fitted(Text(length=4)), tmp_path)
    array = np.frombuffer(content.encode(), np.uint8)
    save_file({"tokenizer.0": array}, folder / "preprocessing.safetensors")

    with pytest.raises(PreprocessingLost, match="tokenizer"):
        Preprocessing.load(folder)


def test_a_lost_tokenizer_is_told(tmp_path: Path) -> None:
    folder = saved(fitted(Text(length=4)), tmp_path)
    save_file({}, folder / "preprocessing.safetensors")

    with pytest.raises(PreprocessingLost, match=r"tokenizer\.0"):
        Preprocessing.load(folder)


def test_the_tokenizer_is_in_a_file_beside_the_description(tmp_path: Path) -> None:
    folder = saved(fitted(Text(length=4)), tmp_path)

    kept = load_file(folder / "preprocessing.safetensors")["tokenizer.0"]
    assert json.loads(kept.tobytes())["model"]["vocab"]["[UNK]"] == 1
    assert 'vocab"' not in (folder / "model.json").read_text()


@pytest.mark.parametrize(
    ("weighting", "expected"),
    [
        ("multi_hot", [0, 1, 1, 1]),
        ("count", [0, 2, 1, 1]),
        # of 5 texts 2 have dog, 2 the, 2 cat: log(1 + 5 / 3) for each
        ("tf_idf", [0, 2 * np.log(8 / 3), np.log(8 / 3), np.log(8 / 3)]),
    ],
)
def test_a_bag_of_words_has_a_number_per_word(weighting, expected) -> None:
    bag = fitted(BagOfWords(weighting=weighting, vocabulary_size=5))

    (features,) = said(bag, "dog the cat dog")
    np.testing.assert_allclose(features, expected, rtol=1e-6)


def test_categories_can_be_read_as_texts(tmp_path: Path) -> None:
    codes = np.array([0, 1, -1, 0], np.int32)
    names = {"said": ["red car", "red bike"]}
    data = dataset({"said": ("category", codes)}, names)
    whole = Text(length=2, minimum_frequency=1).filled(data.schema.columns[0])
    read = Preprocessing.fit(
        data.schema, data.columns, ["said"], np.arange(4), standardize=True,
        encodings={"said": whole},
    )  # fmt: skip

    columns = read.recoded(data.schema, data.columns)
    assert read.apply(columns).tolist() == [[2, 3], [2, 4], [0, 0], [2, 3]]
    assert said(read, "bike red", "blue", None) == [[4, 2], [1, 0], [0, 0]]


@pytest.mark.parametrize("value", [3, ["cat"], {"a": 1}, True, "\ud83d"])
def test_what_is_no_text_is_refused_with_its_row_and_column(value: object) -> None:
    preprocessing = fitted(Text(length=2))

    with pytest.raises(BadValue, match=r"row 1, column 'said': .*text"):
        preprocessing.apply([{"said": "cat"}, {"said": value}])


def stored(folder: Path, values: object) -> Path:
    data = dataset({"said": ("text", TEXTS)})
    (folder / "columns").mkdir()
    (folder / "dataset.json").write_text(data.schema.model_dump_json())
    table = pa.table({"text": pa.array(values, pa.utf8())})
    with pa.ipc.new_file(str(folder / "columns" / "0.arrow"), table.schema) as file:
        file.write_table(table, max_chunksize=2)
    return folder


def test_a_stored_column_gives_its_texts_row_by_row(tmp_path: Path) -> None:
    column = open_dataset(stored(tmp_path, TEXTS.tolist())).columns["said"]

    assert len(column) == 6
    assert column[np.array([5, 0, 3])].tolist() == [TEXTS[5], TEXTS[0], None]


def test_a_stored_column_of_other_rows_than_its_schema_is_refused(tmp_path) -> None:
    with pytest.raises(NotADataset, match="2 rows"):
        open_dataset(stored(tmp_path, ["a", "b"])).columns["said"]


def test_a_file_that_holds_no_texts_is_refused(tmp_path: Path) -> None:
    folder = stored(tmp_path, TEXTS.tolist())
    (folder / "columns" / "0.arrow").write_bytes(b"no arrow")

    with pytest.raises(NotADataset):
        open_dataset(folder).columns["said"]


def test_a_column_knows_how_long_its_texts_are() -> None:
    column = dataset({"said": ("text", TEXTS)}).schema.columns[0]

    filled = Text().filled(column)
    assert isinstance(filled, Text)
    # the longest text has six words: the, cat, a comma, the, dog, an exclamation mark
    assert filled.length == 6
    # the, cat, dog, sat, zebra, the smile and two signs, beside the reserved two
    assert filled.vocabulary_size == 10


def test_ids_are_exact_in_float32() -> None:
    assert np.float32(2**24 - 1) + 1 == 2**24
    assert Text.model_fields["vocabulary_size"].metadata[1].le < 2**24


def test_a_column_whose_words_nobody_counted_needs_a_length() -> None:
    plain = Column(name="said", kind="text")

    assert Text(length=7).filled(plain) == Text(length=7, dimension=32)
