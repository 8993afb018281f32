"""The data sets that scikit-learn carries inside its wheel."""

from typing import Any

import numpy as np

from catalog.ingest.columns import Array, Draft
from catalog.ingest.errors import refuse

NAMES = ("digits", "iris", "wine", "breast_cancer", "diabetes")


def read(name: str, target: str | None, draft: Draft) -> None:
    """Store a data set by its name.

    Digits become 8 x 8 images with the original values 0 to 16 in `image` and an
    integer `label`. The others become one number column per feature; classes are a
    category `label`, the progression of diabetes the number `target`.
    """
    if name not in NAMES:
        raise refuse(
            "unknown_builtin",
            f"there is no builtin data set {name!r}",
            "the names are " + ", ".join(f"sklearn:{n}" for n in NAMES),
        )
    from sklearn import datasets  # noqa: PLC0415 - a second that only this needs

    bunch: Any = getattr(datasets, f"load_{name}")()
    draft.source = "builtin"
    draft.options |= {"format": "builtin", "name": f"sklearn:{name}"}
    draft.set_parts([("train", len(bunch.target))])
    if name == "digits":
        image = draft.add("image", "image", shape=(8, 8, 1))
        image.write(0, bunch.images.astype(np.uint8)[..., np.newaxis])
    else:
        for at, feature in enumerate(bunch.feature_names):
            draft.add(str(feature), "number").write(0, bunch.data[:, at])
    draft.target = _store_target(name, bunch, draft)
    columns = [column.name for column in draft.columns]
    if target is not None and target not in columns:
        raise refuse(
            "unknown_column",
            f"`target` names {target!r}, which is no column of {name}",
            "the columns are " + ", ".join(columns),
            column=target,
        )
    draft.target = target or draft.target
    draft.options["kinds"] = {c.name: c.kind for c in draft.columns}


def _store_target(name: str, bunch: Any, draft: Draft) -> str:
    values: Array = bunch.target
    if name == "diabetes":
        draft.add("target", "number").write(0, values)
        return "target"
    if name == "digits":
        draft.add("label", "integer").write(0, values)
        return "label"
    classes = [str(word) for word in bunch.target_names]
    categories = tuple(sorted(classes))
    codes = np.array([categories.index(word) for word in classes])
    draft.add("label", "category", categories=categories).write(0, codes[values])
    return "label"
