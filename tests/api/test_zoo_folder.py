"""A folder of model files: which of them are a model, and what is said of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from api.zoo import folder as zoo_folder
from api.zoo.declarations import LARGEST, Declared, Speaker
from api.zoo.folder import looked_into, opened


def put(folder: Path, name: str, content: bytes = b"") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def about(folder: Path, name: str) -> Declared:
    found = looked_into(folder)
    (model,) = [model for model in found.models() if model.name == name]
    return Speaker(found).about(model)


def test_files_that_belong_together_are_one_model(tmp_path: Path) -> None:
    put(tmp_path, "tf/a.ckpt.index")
    put(tmp_path, "tf/a.ckpt.data-00000-of-00002", b"12")
    put(tmp_path, "tf/a.ckpt.data-00001-of-00002", b"12")
    put(tmp_path, "tf/a.ckpt.meta", b"123")
    put(tmp_path, "tf/ab.ckpt.data-00000-of-00001", b"another's")
    put(tmp_path, "saved/m/saved_model.pb")
    put(tmp_path, "saved/m/variables/variables.index")
    put(tmp_path, "saved/m/variables/variables.data-00000-of-00001", b"1234")
    put(tmp_path, "face.caffemodel", b"1")
    put(tmp_path, "face.prototxt")
    put(tmp_path, "big.onnx", b"1")
    put(tmp_path, "big.onnx.data", b"22")

    found = looked_into(tmp_path).models()

    assert {m.name: [f.bytes for f in m.members] for m in found} == {
        "big.onnx": [1, 2],
        "face.caffemodel": [1, 0],
        "saved/m": [0, 4, 0],
        "tf/a.ckpt.index": [0, 3, 2, 2],
    }
    assert [model.name for model in found] == sorted(model.name for model in found)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", b"{", "the file is not JSON"),
        ("a.json", b"[1]", "not one object"),
        ("a.json", b"\xff", "not UTF-8"),
        ("a.npz.json", b'{"licence": "MIT"}', "licence"),
        ("a.json", b'{"name": "../x"}', "/name"),
        ("a.json", b'{"files": ["../x"]}', "/files/0"),
        ("a.json", b" " * (LARGEST + 1), "longer than"),
        ("a.yml", b"&a [*a]", "alias"),
        ("zoo.yaml", b"models: [", "the file is not YAML: line 2"),
        ("zoo.yaml", b"models: {a.npz: 1}", "/models/a.npz"),
        ("zoo.yaml", b"[" * 1000, "nested"),
        ("zoo.yaml", b"- x: !!python/name:os.system", "not YAML"),
    ],
)
def test_a_broken_declaration_is_a_problem_that_names_the_file(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    put(tmp_path, "a.npz")
    put(tmp_path, name, content)

    problem = about(tmp_path, "a.npz").problem

    assert problem is not None
    assert problem.startswith(f"{name}: ")
    assert said in problem


def test_a_folder_with_too_many_files_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo_folder, "MOST_FILES", 3)
    for name in ("d.npz", "c.npz", "b.npz"):
        put(tmp_path, name)
    whole = looked_into(tmp_path)
    put(tmp_path, "a.npz")

    part = looked_into(tmp_path)

    assert whole.is_whole
    assert not part.is_whole
    assert [model.name for model in part.models()] == ["a.npz", "b.npz", "c.npz"]


def test_a_folder_too_deep_is_not_looked_into(tmp_path: Path) -> None:
    put(tmp_path, "/".join(["d"] * zoo_folder.DEEPEST) + "/in.npz")
    put(tmp_path, "/".join(["e"] * (zoo_folder.DEEPEST + 1)) + "/out.npz")

    names = [model.name for model in looked_into(tmp_path).models()]

    assert [name.rpartition("/")[2] for name in names] == ["in.npz"]


def test_a_name_that_nobody_can_write_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "line\nbreak.npz").touch()
    with open(os.fsencode(tmp_path) + b"/\xff.npz", "wb"):  # noqa: PTH123 - bytes
        pass

    assert looked_into(tmp_path).models() == []


def test_a_file_swapped_for_a_link_is_not_opened(tmp_path: Path) -> None:
    zoo, secret = tmp_path / "zoo", put(tmp_path, "secret.npz", b"secret")
    file = put(zoo, "sub/a.npz")
    found = looked_into(zoo)
    file.unlink()
    file.symlink_to(secret)

    with pytest.raises(OSError, match="symbolic link"):
        opened(found.root, ("sub", "a.npz"))


def test_a_folder_swapped_for_a_link_is_not_entered(tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    put(tmp_path, "outside/a.npz", b"secret")
    put(zoo, "sub/a.npz")
    found = looked_into(zoo)
    (zoo / "sub").rename(zoo / "moved")
    (zoo / "sub").symlink_to(tmp_path / "outside")

    with pytest.raises(OSError, match="Not a directory"):
        opened(found.root, ("sub", "a.npz"))


def test_a_file_swapped_for_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    put(tmp_path, "a.npz").unlink()
    os.mkfifo(tmp_path / "a.npz")

    with pytest.raises(FileNotFoundError, match=r"a\.npz"):
        opened(str(tmp_path), ("a.npz",))
