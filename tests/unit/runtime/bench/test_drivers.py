"""The drivers that can run here: the wire itself, and the one for servers."""

from __future__ import annotations

import importlib
import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import prod
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from tests.support.bench import TINY, write_lively
from weft.runtime.bench.checkpoint import write_checkpoint
from weft.runtime.bench.drivers.wire import serve

GREEDY = {"do_sample": False, "min_new_tokens": 12, "max_new_tokens": 12, "pad_token_id": 0}
LIMITS = {"dtype": "auto", "max_context": 64, "max_batch": 4, "seed": 0}


def double(value: int) -> int:
    return 2 * value


def test_wire_answers_each_line() -> None:
    lines = io.StringIO('{"operation": "double", "value": 4}\n{"operation": "missing"}\n')
    out = io.StringIO()
    serve({"double": double}, lines, out)
    answers = [json.loads(line) for line in out.getvalue().splitlines()]
    assert answers == [{"result": 8}, {"error": "KeyError: 'missing'"}]


def test_wire_closes_what_was_opened() -> None:
    closed: list[bool] = []
    serve({"close": lambda: closed.append(True)}, io.StringIO(""), io.StringIO())
    assert closed == [True]


class Handler(BaseHTTPRequestHandler):
    """Serves a model ``/models/mini`` that always writes what is asked for, but for ``short``."""

    bodies: list[dict[str, Any]]
    short: int

    def do_GET(self) -> None:
        self._answer({"data": [{"id": "/models/mini"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.bodies.append(body)
        self._answer({"usage": {"completion_tokens": body["max_tokens"] - self.short}})

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def _answer(self, data: object) -> None:
        content = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    Handler.bodies, Handler.short = [], 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield http
        http.shutdown()
        thread.join()


def operations(server: ThreadingHTTPServer) -> Mapping[str, Callable[..., Any]]:
    module = importlib.import_module("weft.runtime.bench.drivers.http_driver")
    opened = module.open_driver(f"http://127.0.0.1:{server.server_port}")
    return cast("Mapping[str, Callable[..., Any]]", opened)


def test_server_gets_token_ids_and_fixed_lengths(server: ThreadingHTTPServer) -> None:
    driver = operations(server)
    driver["load"](model="/tmp/x/mini", **LIMITS)
    assert driver["generate"](prompts=[[1, 2], [3, 4]], num_tokens=5) > 0.0
    asked = {(*body["prompt"], body["max_tokens"], body["ignore_eos"]) for body in Handler.bodies}
    assert asked == {(1, 2, 5, True), (3, 4, 5, True)}
    assert {body["model"] for body in Handler.bodies} == {"/models/mini"}


def test_server_with_another_model_is_refused(server: ThreadingHTTPServer) -> None:
    with pytest.raises(RuntimeError, match="not 'm197'"):
        operations(server)["load"](model="/tmp/x/m197", **LIMITS)


def test_short_answers_do_not_count(server: ThreadingHTTPServer) -> None:
    Handler.short = 1
    driver = operations(server)
    driver["load"](model="mini", **LIMITS)
    with pytest.raises(RuntimeError, match=r"wanted 5 tokens, got \[4\]"):
        driver["generate"](prompts=[[1]], num_tokens=5)


@pytest.mark.slow
def test_bound_multiplies_with_every_weight_but_the_embeddings(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny", TINY, seed=0)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    stored = (folder / "model.safetensors").read_bytes()
    header: dict[str, Any] = json.loads(stored[8 : 8 + int.from_bytes(stored[:8], "little")])
    names = [name for name in header if name.endswith("weight") and "embed" not in name]
    shapes: list[list[int]] = [header[name]["shape"] for name in names]
    expected = sum(prod(shape) for shape in shapes if len(shape) == 2)
    if config["tie_word_embeddings"]:
        expected += config["vocab_size"] * config["hidden_size"]
    module = importlib.import_module("weft.runtime.bench.drivers.bound_driver")
    assert sum(rows * columns for rows, columns in module._shapes(config)) == expected


DRIVERS = ["weft_driver", "transformers_driver", "transformers_cb_driver", "bound_driver"]


@pytest.mark.slow
@pytest.mark.parametrize("name", DRIVERS)
def test_engine_in_this_environment_generates_what_is_asked(name: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny", TINY, seed=0)
    module = importlib.import_module(f"weft.runtime.bench.drivers.{name}")
    driver = cast("Mapping[str, Callable[..., Any]]", module.open_driver())
    driver["load"](**{**LIMITS, "model": str(folder), "dtype": "float32"})
    # The driver itself counts the tokens and raises when there are others.
    assert driver["generate"](prompts=[[20, 21, 22], [30, 31, 32]], num_tokens=3) > 0.0
    if "close" in driver:
        driver["close"]()


@pytest.mark.slow
def test_continuous_batching_says_what_generate_says(tmp_path: Path) -> None:
    folder = write_lively(tmp_path / "lively")
    limits = {**LIMITS, "model": str(folder), "dtype": "float32"}
    batching = open_peer("transformers_cb_driver", "_ContinuousBatching")
    plain = open_peer("transformers_driver", "_Transformers")
    batching.load(**limits)
    plain.load(**limits)
    for prompts in ([[20, 21, 22], [30, 31, 22], [40, 22]], [[20, 21, 22]]):
        tokens = batching.continue_greedily(prompts, 12)
        inputs = [torch.tensor([prompt], device=plain._device) for prompt in prompts]
        outputs = [plain._model.generate(x, **GREEDY)[0, x.shape[1] :] for x in inputs]
        assert tokens == [output.tolist() for output in outputs]
        assert len({tuple(each) for each in tokens}) == len(prompts)
    batching.close()
    with pytest.raises(RuntimeError, match="stopped"):
        batching.continue_greedily([[1]], 1)


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_contenders_compute_on_the_gpu(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny", TINY, seed=0)
    limits = {**LIMITS, "model": str(folder), "dtype": "bfloat16"}
    plain = open_peer("transformers_driver", "_Transformers")
    bound = open_peer("bound_driver", "_Bound")
    for peer in (plain, bound):
        peer.load(**limits)
    assert plain._model.device.type == "cuda"
    assert bound._stored.is_cuda and bound._weights[0].is_cuda


def open_peer(script: str, name: str) -> Any:
    return getattr(importlib.import_module(f"weft.runtime.bench.drivers.{script}"), name)()
