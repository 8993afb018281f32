"""The object description inside PyTorch's archives, read without unpickling.

A pickle is a program for a stack machine. Python's and torch's loaders execute it;
here `pickletools` only takes it apart, and a machine that knows plain values, one
function that lays tensors over storages and nothing else follows it. A name that is
not in the tables below ends the reading, whatever it would have done.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from trainer.importing.errors import damaged, oversized, unfit

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.importing.found import Array

MOST_STEPS = 20_000_000
STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
    "BFloat16Storage": "bfloat16",
}
REBUILT = {
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
}
SCRIPT_LISTS = ("build_intlist", "build_doublelist", "build_boollist")
SCRIPT = "__torch__."
"""Where TorchScript puts its classes: their attributes are read, their code is not."""


@dataclass(frozen=True)
class GlobalName:
    """A name that a pickle asks for; it is never looked up."""

    module: str
    name: str


@dataclass
class Attributes:
    """An object of a class that is not made here: what it was given."""

    of: GlobalName
    state: Any = None


@dataclass(frozen=True)
class Storage:
    """A run of numbers in a file of the archive."""

    dtype: str
    key: str
    elements: int


class _Mark:
    """Where a list of arguments begins on the stack."""


_MARK = _Mark()


@dataclass
class Reader:
    """The machine: a stack, a memory, and the storages it may lay tensors over."""

    load: Callable[[str], bytes]
    """Returns the bytes of a storage by its key."""
    is_script: bool = False
    stack: list[Any] = field(default_factory=list)
    memory: dict[int, Any] = field(default_factory=dict)
    _bytes: dict[str, bytes] = field(default_factory=dict)

    CONSTANTS: ClassVar[dict[str, Any]] = {
        "NONE": None,
        "NEWTRUE": True,
        "NEWFALSE": False,
    }
    VALUES: ClassVar[frozenset[str]] = frozenset(
        [
            "BININT",
            "BININT1",
            "BININT2",
            "LONG1",
            "LONG4",
            "INT",
            "LONG",
            "BINFLOAT",
            "FLOAT",
            "BINUNICODE",
            "SHORT_BINUNICODE",
            "BINUNICODE8",
            "UNICODE",
            "BINSTRING",
            "SHORT_BINSTRING",
            "BINBYTES",
            "SHORT_BINBYTES",
        ]
    )

    def read(self, content: bytes) -> Any:
        """Return what the pickle describes.

        Raises:
            NotImportable: it asks for something that is no plain value or tensor.
        """
        try:
            for step, (opcode, argument, _) in enumerate(pickletools.genops(content)):
                if step > MOST_STEPS:
                    raise oversized("too_many_objects", "the archive's list is endless")
                if opcode.name == "STOP":
                    return self.stack.pop()
                self._follow(opcode.name, argument)
        except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
            raise damaged("the archive's list of tensors", str(error)) from error
        raise damaged("the archive's list of tensors", "it has no end")

    def _follow(self, name: str, argument: Any) -> None:
        if name in self.VALUES:
            self.stack.append(argument)
        elif name in self.CONSTANTS:
            self.stack.append(self.CONSTANTS[name])
        elif name in {"PROTO", "FRAME"}:
            return
        elif step := getattr(self, f"_on_{name.lower()}", None):
            step(argument)
        else:
            raise unfit(
                "unsafe_pickle",
                f"the archive wants the step {name}, no part of weights",
            )

    def _on_mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def _on_pop(self, _: Any) -> None:
        self.stack.pop()

    def _marked(self) -> list[Any]:
        found: list[Any] = []
        while (top := self.stack.pop()) is not _MARK:
            found.append(top)
        return found[::-1]

    def _on_empty_dict(self, _: Any) -> None:
        self.stack.append({})

    def _on_empty_list(self, _: Any) -> None:
        self.stack.append([])

    def _on_empty_tuple(self, _: Any) -> None:
        self.stack.append(())

    def _on_empty_set(self, _: Any) -> None:
        self.stack.append([])

    def _on_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._marked()))

    def _on_list(self, _: Any) -> None:
        self.stack.append(self._marked())

    def _last(self, count: int) -> None:
        found = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.stack.append(found)

    def _on_tuple1(self, _: Any) -> None:
        self._last(1)

    def _on_tuple2(self, _: Any) -> None:
        self._last(2)

    def _on_tuple3(self, _: Any) -> None:
        self._last(3)

    def _on_append(self, _: Any) -> None:
        value = self.stack.pop()
        self.stack[-1].append(value)

    def _on_appends(self, _: Any) -> None:
        values = self._marked()
        self.stack[-1].extend(values)

    def _on_additems(self, _: Any) -> None:
        self._on_appends(None)

    def _on_setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set(key, value)

    def _on_setitems(self, _: Any) -> None:
        pairs = self._marked()
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            self._set(key, value)

    def _set(self, key: Any, value: Any) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or not isinstance(key, str | int):
            raise TypeError("an entry of something that is no table")
        target[key] = value

    def _on_binput(self, argument: Any) -> None:
        self.memory[int(argument)] = self.stack[-1]

    _on_long_binput = _on_put = _on_binput

    def _on_memoize(self, _: Any) -> None:
        self.memory[len(self.memory)] = self.stack[-1]

    def _on_binget(self, argument: Any) -> None:
        self.stack.append(self.memory[int(argument)])

    _on_long_binget = _on_get = _on_binget

    def _on_global(self, argument: Any) -> None:
        module, _, name = str(argument).partition(" ")
        self.stack.append(self._known(GlobalName(module, name)))

    def _on_stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(self._known(GlobalName(str(module), str(name))))

    def _known(self, wanted: GlobalName) -> GlobalName:
        """Return the name if it is one of those that weights need."""
        module, name = wanted.module, wanted.name
        if (
            (module, name) in REBUILT
            or (module, name) == ("collections", "OrderedDict")
            or (module == "torch" and name in STORAGES)
            or (self.is_script and module.startswith(SCRIPT))
            or (module == "torch.jit._pickle" and name in SCRIPT_LISTS)
        ):
            return wanted
        raise unfit(
            "unsafe_pickle",
            f"the file asks for {f'{module}.{name}'[:200]!r}, which is code; weights "
            "need only tensors, so it is not opened",
            "save the weights alone: torch.save(model.state_dict(), path)",
        )

    def _on_binpersid(self, _: Any) -> None:
        kind, storage, key, _, elements = self.stack.pop()
        if kind != "storage" or not isinstance(storage, GlobalName):
            raise ValueError("a reference to something that is no storage")
        found = Storage(STORAGES[storage.name], str(key), int(elements))
        self.stack.append(found)

    def _on_newobj(self, _: Any) -> None:
        self.stack.pop()
        self.stack.append(Attributes(self.stack.pop()))

    def _on_reduce(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, GlobalName):
            raise ValueError("a call of something that is no function")  # noqa: TRY004
        if function.name == "OrderedDict":
            self.stack.append(dict(arguments[0]) if arguments else {})
        elif function.name == "_rebuild_tensor_v2":
            self.stack.append(self._tensor(*arguments[:4]))
        elif function.name == "_rebuild_parameter" or function.name in SCRIPT_LISTS:
            self.stack.append(arguments[0])
        else:
            self._known(GlobalName(function.module, "()"))

    def _on_build(self, _: Any) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Attributes):
            self.stack[-1].state = state  # of anything else it is torch's `_metadata`

    def _tensor(self, storage: Any, offset: Any, shape: Any, strides: Any) -> Array:
        """Lay a tensor over a storage, inside its bytes."""
        if not isinstance(storage, Storage):
            raise ValueError("a tensor without a storage")  # noqa: TRY004
        shape, strides = tuple(map(int, shape)), tuple(map(int, strides))
        if storage.key not in self._bytes:
            self._bytes[storage.key] = self.load(storage.key)
        return strided(
            self._bytes[storage.key], storage.dtype, int(offset), shape, strides
        )


def strided(
    content: bytes,
    dtype: str,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
) -> Array:
    """Return a tensor of a storage by its strides, in elements.

    Raises:
        NotImportable: it reaches beyond the storage.
    """
    kind = np.dtype("<u2" if dtype == "bfloat16" else dtype)
    values = np.frombuffer(
        content[: len(content) // kind.itemsize * kind.itemsize], kind
    )
    reach = offset + sum(
        (size - 1) * stride for size, stride in zip(shape, strides, strict=True)
    )
    if min((offset, *shape, *strides), default=0) < 0 or len(shape) != len(strides):
        raise damaged("a tensor", f"its shape {list(shape)} is none")
    if prod(shape) and reach >= len(values):
        raise damaged(
            "a tensor",
            f"{list(shape)} numbers are declared, its storage has {len(values):,}",
        )
    if prod(shape) > len(values):
        raise unfit("expanded_tensor", f"a tensor {list(shape)} repeats its numbers")
    laid = np.lib.stride_tricks.as_strided(
        values[offset:], shape, [stride * kind.itemsize for stride in strides]
    )
    if dtype == "bfloat16":  # the upper half of a float32
        return (laid.astype(np.uint32) << 16).view(np.float32)
    return laid.copy()
