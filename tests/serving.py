"""What the tests of synthesis need of a server: a tiny model, `transformers serve` on loopback, and a door in front of it.

The door passes requests on, counts which prompt was answered how often, and can be told to misbehave.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SYLLABLES = ("ba", "co", "di", "fu", "ga", "he", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu", "va", "we")


def tiny_model(folder: Path) -> Path:
    """A causal model of a few thousand weights that writes invented words at random; half of them end a sentence."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = [a + b + c for a in SYLLABLES for b in SYLLABLES[:4] for c in SYLLABLES[4:8]]
    vocabulary = ["<s>", "</s>", "<unk>", *words, *(f"{word}." for word in words)]
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(vocabulary)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="</s>",
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    wrapped.save_pretrained(folder)
    torch.manual_seed(0)
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    network = LlamaForCausalLM(
        LlamaConfig(vocab_size=len(vocabulary), max_position_embeddings=4096, bos_token_id=0, eos_token_id=1, pad_token_id=1, **size)
    )
    network.generation_config.do_sample = True
    network.save_pretrained(folder)
    return folder


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Served:
    """`transformers serve MODEL` in a process of its own."""

    def __init__(self, model: Path, port: int | None = None) -> None:
        self.model, self.port = model, port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, wait: float = 120) -> None:
        command = shutil.which("transformers", path=str(Path(sys.executable).parent)) or "transformers"
        words = [command, "serve", str(self.model), "--host", "127.0.0.1", "--port", str(self.port)]
        env = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise TimeoutError("transformers serve did not come up")

    def kill(self) -> None:
        """As a power cut would."""
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Door:
    """An HTTP server on loopback that answers chat completions.

    Parameters
    ----------
    behind : URL of the server that requests are passed to, or a function of the prompt that returns the text of a reply
    slow : seconds that a slow answer takes
    misbehave : function of (prompt, how often it has been asked before), returning None or one of `refuse`, `html`, `half`,
        `empty`, `slow`, `drip`, `500`, `429`, `401`, `strange`, `cut`
    """

    def __init__(self, behind, misbehave=lambda prompt, times: None, slow=3.0) -> None:
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()
        door = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                prompt = json.loads(body)["messages"][0]["content"]
                with door._lock:
                    times = door.asked[prompt]
                    door.asked[prompt] += 1
                    door.headers.append(dict(self.headers))
                    door.at_once += 1
                    door.most_at_once = max(door.most_at_once, door.at_once)
                try:
                    self.answer(prompt, body, misbehave(prompt, times))
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client had enough
                finally:
                    with door._lock:
                        door.at_once -= 1

            def answer(self, prompt, body, how):
                if how in ("500", "429", "401"):
                    key = self.headers.get("authorization", "")
                    return self.send(int(how), json.dumps({"error": {"message": f"no: {key}"}}).encode(), retry_after="0.05")
                if how in ("html", "half", "empty", "strange"):
                    bodies = {"html": b"<html><h1>Bad gateway</h1>", "half": b'{"choices": [{"mess', "empty": b"", "strange": b'{"a": 1}'}
                    return self.send(200, bodies[how])
                if how == "slow":
                    time.sleep(slow)  # the client will have given up, so nobody gets this answer
                if how == "drip":
                    self.send_response(200)
                    self.end_headers()
                    for _ in range(60):
                        self.wfile.write(b" ")
                        self.wfile.flush()
                        time.sleep(0.1)
                    return None
                reply = self.fetched(body) if isinstance(behind, str) else _completion(behind(prompt))
                if reply is None:
                    self.close_connection = True
                    return None  # the server behind is gone: so is the connection
                if how == "cut":
                    self.send_response(200)
                    self.send_header("content-length", str(len(reply)))
                    self.end_headers()
                    self.wfile.write(reply[: len(reply) // 2])
                    self.close_connection = True
                    return None
                self.send(200, reply)
                if how is None:
                    with door._lock:
                        door.answered[prompt] += 1
                return None

            def fetched(self, body):
                request = urllib.request.Request(
                    f"{behind}/chat/completions", data=body, headers={"content-type": "application/json"}, method="POST"
                )
                try:
                    with urllib.request.urlopen(request, timeout=60) as found:
                        return found.read()
                except (urllib.error.URLError, OSError):
                    return None

            def send(self, status, body, retry_after=None):
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                if retry_after:
                    self.send_header("retry-after", retry_after)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def opened(behind, misbehave=lambda prompt, times: None, slow=3.0):
    """A `Door` that closes again."""
    door = Door(behind, misbehave, slow)
    try:
        yield door
    finally:
        door.close()


def _completion(text: str) -> bytes:
    return json.dumps({"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}]}).encode()
