"""The headers of safetensors files: which tensors they hold, of what type. Reads no tensor.

Format: huggingface/safetensors, README: Format.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

POINTER = b"version https://git-lfs"
AGAIN = "copy or download it again"


@dataclass(frozen=True)
class Tensor:
    """What a header says of one tensor."""

    dtype: str
    """As safetensors names it: `F32`, `BF16`, `I64`."""
    size: int
    """Bytes."""


def read_header(file: Path) -> dict[str, Tensor]:
    """The tensors of a file, by name.

    Raises:
        ValueError: it is no whole safetensors file; one sentence with the way out.
    """
    with file.open("rb") as opened:
        start = opened.read(len(POINTER))
        size = file.stat().st_size
        if start == POINTER:
            raise ValueError(
                f"its {file.name} is a pointer of Git LFS and not the weights: run `git lfs pull` in the folder"
            )
        if not size:
            raise ValueError(f"its {file.name} is empty: {AGAIN}")
        opened.seek(0)
        length = int.from_bytes(opened.read(8), "little")
        try:
            said = json.loads(opened.read(length)) if length < size else {}
            spans = {name: one for name, one in said.items() if name != "__metadata__"}
            found = {
                name: Tensor(one["dtype"], one["data_offsets"][1] - one["data_offsets"][0])
                for name, one in spans.items()
            }
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            found = {}
    if not found:
        raise ValueError(f"its {file.name} is torn or no safetensors file: {AGAIN}")
    needed = 8 + length + sum(one.size for one in found.values())
    if size != needed:
        raise ValueError(f"its {file.name} is torn, it has {size} bytes of {needed}: {AGAIN}")
    return found


def find_prevailing_dtype(tensors: Iterable[Tensor]) -> str:
    """The type of floating numbers that most of the bytes have; nothing where there are none."""
    sizes: dict[str, int] = {}
    for tensor in tensors:
        if "F" in tensor.dtype:
            sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.size
    return max(sizes, key=lambda name: sizes[name], default="")


def find_prefix(names: Iterable[str]) -> str:
    """What all names begin with up to a dot, such as `module.`; nothing if they differ."""
    firsts = {name.partition(".")[0] for name in names}
    return f"{firsts.pop()}." if len(firsts) == 1 else ""
