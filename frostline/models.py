"""The verbs for models."""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from frostline.answers import Model, Page
from frostline.connection import Connection
from frostline.datasets import UPLOAD
from frostline.errors import Broken, NotExported, Unavailable, Unreadable
from frostline.paths import segment, wanted

BINARY = "application/octet-stream"
EXPORT_SECONDS = 20.0
"""How long a model that was just registered may take to be able to predict."""
EXPORT_WAIT_SECONDS = 600.0
"""How long a form is waited for: workers write a few at a time."""


class Models:
    """``/v1/models``. A model is named by id, ``name``, ``name@alias``, ``name@1``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, model: str) -> Model:
        """Return a model."""
        return Model.model_validate(self._connection.json("GET", self._path(model)))

    def import_(
        self, *files: str | Path, spec: Mapping[str, Any] | None = None, **said: Any
    ) -> Model:
        """Make a model of another framework's files; it is checked when this returns.

        What is said about it is `spec`, keyword by keyword, or both: ``name``,
        ``preprocessing``, ``network``, ``classes``, ``output``, ``expected`` and so on.
        A folder stands for the files in it.
        """
        about = {**(spec or {}), **{n: v for n, v in said.items() if v is not None}}
        with ExitStack() as opened:
            parts: list[tuple[str, tuple[str, Any, str]]] = []
            for path in _files(files):
                try:
                    content = opened.enter_context(path.open("rb"))
                except OSError as error:
                    raise Unreadable(
                        str(path), error.strerror or "unreadable"
                    ) from None
                parts.append(("file", (path.name, content, BINARY)))
            fields = {"spec": json.dumps(about)}
            found = self._connection.json(
                "POST", "/v1/models/import", files=parts, data=fields, timeout=UPLOAD
            )
        return Model.model_validate(found)

    def import_from(
        self, zoo: str, model: str, spec: Mapping[str, Any] | None = None, **said: Any
    ) -> Model:
        """Have the server take a model from one of its zoos; see ``client.zoos``.

        What is said in `spec` or by keyword wins over what the zoo says of it.
        """
        about = {**(spec or {}), **{n: v for n, v in said.items() if v is not None}}
        about |= {"zoo": zoo, "model": model}
        found = self._connection.json(
            "POST", "/v1/models/import", json=about, timeout=UPLOAD
        )
        return Model.model_validate(found)

    def lineage(self, model: str) -> Mapping[str, Any]:
        """Return where a model's layers come from."""
        path = f"{self._path(model)}/lineage"
        found: Mapping[str, Any] = self._connection.json("GET", path)
        return found

    def predict(
        self,
        model: str,
        rows: Sequence[Any],
        form: str = "rows",
        *,
        monte_carlo_samples: int | None = None,
    ) -> Mapping[str, Any]:
        """Return what a model says about rows in the form of its data set.

        `form` says what they are: ``rows`` of a table, ``arrays`` or ``images``. With
        `monte_carlo_samples` each is predicted so often with dropout left on, and the
        answer has means and standard deviations. A model that was registered just now
        is waited for.
        """
        path = f"{self._path(model)}/predict"
        asked: dict[str, Any] = {form: rows}
        if monte_carlo_samples is not None:
            asked["monte_carlo_samples"] = monte_carlo_samples
        deadline = time.monotonic() + EXPORT_SECONDS
        while True:
            try:
                found: Mapping[str, Any] = self._connection.json(
                    "POST", path, json=asked
                )
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return found

    def export(
        self, model: str, form: str, *, wait: float = EXPORT_WAIT_SECONDS
    ) -> Mapping[str, Any]:
        """Have a model written in another form by a worker; return what is known of it.

        `form` is ``torch_export``, ``keras``, ``pytorch_script`` or ``onnx_pipeline``.
        The answer names the file, which then is among the model's files. With `wait` 0
        it is returned at once, and says where the request stands.
        """
        path = f"{self._path(model)}/exports"
        found: Mapping[str, Any] = self._connection.json(
            "POST", path, json={"format": form}
        )
        deadline = time.monotonic() + wait
        while wait and found.get("status") in {"queued", "running"}:
            if time.monotonic() > deadline:
                raise NotExported(model, form, f"no worker wrote it in {wait:g} s")
            time.sleep(0.2)
            found = self._connection.json("GET", f"{path}/{segment(form)}")
        if wait and found.get("status") == "failed":
            raise NotExported(model, form, str(found.get("error")))
        return found

    def update(self, model: str, **changes: Any) -> Model:
        """Change a model's tags or description."""
        found = self._connection.json("PATCH", self._path(model), json=changes)
        return Model.model_validate(found)

    def alias(self, name: str, alias: str, model: str) -> Mapping[str, Any]:
        """Let ``name@alias`` stand for a model."""
        path = f"{self._path(name)}/aliases/{segment(alias)}"
        found: Mapping[str, Any] = self._connection.json(
            "PUT", path, json={"model": model}
        )
        return found

    def delete(self, model: str, *, force: bool = False) -> None:
        """Delete a model; one that others depend on only if forced."""
        asked = wanted(force="true" if force else None)
        self._connection.request("DELETE", self._path(model), params=asked)

    def download(
        self, model: str, folder: str | Path, *, names: Sequence[str] = ()
    ) -> list[Path]:
        """Save a model's files into a folder; return their paths.

        `names` are the files that are wanted; absent: all. Each is checked against the
        hash in the catalog before it gets its name.
        """
        found = self.get(model)
        into = Path(folder)
        try:
            into.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unreadable(str(into), error.strerror or "unwritable") from None
        return [
            self._save(found.id, name, into / name, str(about.get("sha256") or ""))
            for name, about in sorted(found.files.items())
            if not names or name in names
        ]

    def page(
        self, limit: int | None = None, cursor: str | None = None, **filters: Any
    ) -> Page[Model]:
        """Return one page of the catalog, newest first unless ``sort`` is given."""
        asked = wanted(limit=limit, cursor=cursor, **filters)
        found = self._connection.json("GET", "/v1/models", params=asked)
        return Page[Model].model_validate(found)

    def each(self, **filters: Any) -> Iterator[Model]:
        """Go through the whole catalog."""
        cursor = None
        while True:
            page = self.page(cursor=cursor, **filters)
            yield from page.data
            if not page.has_more:
                return
            cursor = page.next_cursor

    def _path(self, model: str) -> str:
        return f"/v1/models/{segment(model)}"

    def _save(self, model: str, name: str, path: Path, sha256: str) -> Path:
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        digest = hashlib.sha256()
        address = f"{self._path(model)}/files/{segment(name)}"
        with (
            self._connection.stream(address, headers={"Accept": "*/*"}) as answer,
            unfinished.open("wb") as file,
        ):
            for part in answer.iter_bytes():
                digest.update(part)
                file.write(part)
        if sha256 and digest.hexdigest() != sha256:
            unfinished.unlink()
            raise Broken(address, f"{name} does not have the SHA-256 of the catalog")
        return unfinished.replace(path)


def _files(given: Sequence[str | Path]) -> list[Path]:
    """Return the files that are named, those of a folder instead of the folder."""
    found = []
    for path in map(Path, given):
        inside = sorted(p for p in path.rglob("*") if p.is_file())
        found += inside if path.is_dir() else [path]
    return found
