"""What a model answers as JSON text, whatever it is made of."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from contract.errors import DeviceLost, OutputInvalid
from worker.models.output_json import encode_output


class Tensor:
    """What torch's look like from outside: unknown to orjson, with `tolist`."""

    def __init__(self, values: Any) -> None:
        self._values = values

    def tolist(self) -> Any:
        if isinstance(self._values, Exception):
            raise self._values
        return self._values


@dataclass
class Box:
    score: float
    label: str | None = None


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("text", '"text"'),
        (None, "null"),
        ({"a": None, "b": [1.5, None]}, '{"a":null,"b":[1.5,null]}'),
        ("null", '"null"'),
        ((1, 2), "[1,2]"),
        (np.arange(4.0).reshape(2, 2), "[[0.0,1.0],[2.0,3.0]]"),
        (np.arange(6)[::2], "[0,2,4]"),
        (np.float32(0.5), "0.5"),
        (np.float16(0.5), "0.5"),
        (np.int64(7), "7"),
        (np.bool_(True), "true"),
        (np.array(["a", "b"]), '["a","b"]'),
        ({"scores": [np.float64(0.25)]}, '{"scores":[0.25]}'),
        (Tensor([[1.0, 2.0]]), "[[1.0,2.0]]"),
        ({"logits": Tensor(0.5)}, '{"logits":0.5}'),
        (Box(0.5), '{"score":0.5,"label":null}'),
        ({"count": 10**30}, '{"count":1000000000000000000000000000000}'),
        ([None, Box(2**64)], '[null,{"score":18446744073709551616,"label":null}]'),
    ],
)
def test_outputs_become_json(output: Any, text: str) -> None:
    assert encode_output(output).decode() == text
    json.loads(text)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "output",
    [
        NAN,
        -INF,
        [1.0, INF],
        {"deep": [{"in": (0.0, NAN)}]},
        {"null": None, "score": NAN},
        np.array([0.0, np.nan]),
        np.float32("inf"),
        [None, np.float16("nan")],
        Tensor([1.0, NAN]),
        {"logits": Tensor(NAN), "label": None},
        Box(NAN),
    ],
)
def test_nan_and_infinity_never_become_null(output: Any) -> None:
    with pytest.raises(OutputInvalid) as caught:
        encode_output(output)
    assert caught.value.detail == "the output holds NaN or infinity"


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (b"bytes", "bytes"),
        ({"image": bytearray(b"x")}, "bytearray"),
        (object(), "object"),
        ({1, 2}, "set"),
        (1 + 2j, "complex"),
        (np.array([1 + 2j]), "complex"),
        ({1: "one"}, "key must be str"),
        pytest.param(10**4300, "4,300 digits", id="digits"),
        ("half a pair \ud800", "UTF-8"),
        (Tensor(ValueError("it was freed")), "Tensor"),
    ],
)
def test_what_json_cannot_say_is_refused_with_a_sentence(output: Any, why: str) -> None:
    with pytest.raises(OutputInvalid) as caught:
        encode_output(output)
    assert caught.value.detail.startswith("the output cannot be written as JSON: ")
    assert why in caught.value.detail


def test_an_output_that_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(OutputInvalid, match="cannot be written as JSON"):
        encode_output(loop)


def test_a_tensor_that_cannot_be_read_because_the_device_is_gone_is_a_lost_device() -> None:
    lost = RuntimeError("CUDA error: an illegal memory access was encountered")
    with pytest.raises(DeviceLost):
        encode_output({"logits": Tensor(lost)})


@pytest.mark.slow
def test_tensors_of_torch_become_json() -> None:
    torch = pytest.importorskip("torch")
    assert encode_output({"v": torch.tensor([[0.5, 1.0]])}) == b'{"v":[[0.5,1.0]]}'
    assert encode_output(torch.tensor(3, dtype=torch.bfloat16)) == b"3.0"
    with pytest.raises(OutputInvalid):
        encode_output([torch.tensor([0.0, NAN])])
