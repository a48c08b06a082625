"""Any server that speaks OpenAI's chat protocol: vLLM, Ollama, llama.cpp, `transformers serve`, or a paid one.

Several requests are in flight at once, no faster than a stated rate. What may go away by itself (a refused connection, a
timeout, 429, 5xx, half a body) is tried again after a growing pause; what won't (401, 404) ends the work at once. When the
work ends early, every reply that came is in the cache, and the same command goes on from there.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any
from urllib.parse import urlsplit

from hare_lab.errors import InputError
from hare_lab.synthesis.backends.base import Offer, Settings
from hare_lab.synthesis.backends.cache import RequestCache
from hare_lab.synthesis.plan import Request

log = logging.getLogger(__name__)

OWN_KEY, OPENAI_KEY = "HARE_LAB_API_KEY", "OPENAI_API_KEY"  # the second is for OpenAI's own server alone
PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
TRANSPORTS = frozenset({"httpx", "httpx2", "httpcore", "httpcore2"})  # what the client of this or that version reads a body with
LARGEST = 4_000_000  # bytes of a body; a server that sends without end is no model
LONGEST_PAUSE = 30.0  # seconds


class _Unusable(Exception):
    """A reply did not come, for a reason that may pass; the message says which."""


class Endpoint:
    """An OpenAI-compatible server and one of its models.

    Parameters
    ----------
    url : str
        Up to and with the version, as in http://127.0.0.1:8000/v1.
    model : str
        As the server names it.
    concurrency : requests in flight at once
    per_minute : requests started in a minute at most; 0 is no limit
    timeout : seconds that a whole reply may take
    retries : how often a request is tried again
    pause : seconds before the first retry; doubled each time, with a random part, a server's Retry-After heeded

    Raises
    ------
    InputError
        If the URL is none, or holds a user or a key: those come from the environment variable HARE_LAB_API_KEY.
    """

    live = True

    def __init__(
        self,
        url: str,
        model: str,
        *,
        concurrency: int = 8,
        per_minute: float = 0,
        timeout: float = 120,
        retries: int = 5,
        pause: float = 1.0,
        settings: Settings | None = None,
        cache: RequestCache | None = None,
    ) -> None:
        import openai

        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f'--endpoint "{_place(url)}" is no address; give one such as http://127.0.0.1:8000/v1')
        if parts.username or parts.password or parts.query or parts.fragment:
            raise InputError(f"--endpoint {_place(url)} holds a user, key or query; keep to the address, and put a key into {OWN_KEY}")
        if not model:
            raise InputError("--endpoint needs --model, the name under which the server offers the model")
        if concurrency < 1 or timeout <= 0 or retries < 0 or per_minute < 0:
            raise InputError("endpoint: concurrency is at least 1, the timeout above 0, retries and per_minute not below 0")
        self.model = model
        self.place = _place(url)
        own = os.environ.get(OWN_KEY) or (os.environ.get(OPENAI_KEY) if parts.hostname.endswith(".openai.com") else None)
        self._secret = own or ""
        self._client = openai.OpenAI(base_url=url, api_key=own or "none", max_retries=0, timeout=timeout)
        self._workers, self._timeout, self._retries, self._pause = concurrency, timeout, retries, pause
        self._settings = settings or Settings()
        self._cache = cache or RequestCache.of(f"{self.place} {model}")
        self._gate = _Gate(per_minute)
        self._stopped = threading.Event()
        self._answered = 0

    def settings(self, request: Request) -> Mapping[str, Any]:
        return self._settings.of(request)

    def offers(self, topic: str, task: str) -> list[Offer] | None:
        return None

    def replies(self, requests: Sequence[Request]) -> Iterator[tuple[int, str]]:
        """The replies, those that are kept first; each is kept before it is given, and none is asked for twice.

        Raises
        ------
        InputError
            If the server is not there, refuses, or sends no usable reply after the retries; says how many replies are kept.
        """
        places: dict[str, list[int]] = {}
        for place, request in enumerate(requests):
            places.setdefault(self._cache.key(request, self.settings(request)), []).append(place)
        todo = []
        for key, wanted in places.items():
            reply = self._cache.get(key)
            if reply is None:
                todo.append(key)
            else:
                yield from ((place, reply) for place in wanted)
        self._stopped.clear()
        with ThreadPoolExecutor(self._workers) as pool:
            waiting: dict[Future[str], str] = {pool.submit(self._ask, requests[places[key][0]], key): key for key in todo}
            try:
                for done in as_completed(waiting):
                    yield from ((place, done.result()) for place in places[waiting[done]])
            except BaseException:  # Ctrl-C too: start nothing new; what is on its way is still kept
                self._stopped.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _ask(self, request: Request, key: str) -> str:
        """One reply, with retries; kept before it is returned. "" if the server answers others but never this one."""
        problem = ""
        for attempt in range(self._retries + 1):
            if self._stopped.is_set():
                return ""
            self._gate.wait(self._stopped)
            try:
                reply = self._once(request)
            except _Unusable as error:
                problem, pause = str(error.args[0]), error.args[1] if len(error.args) > 1 else None
                log.info("%s: %s (try %d of %d)", self.place, problem, attempt + 1, self._retries + 1)
                if attempt < self._retries:
                    growing = self._pause * 2**attempt * (0.5 + random.random())
                    self._stopped.wait(min(LONGEST_PAUSE, max(growing, pause or 0.0)))
                continue
            self._cache.put(key, reply)
            self._answered += 1
            return reply
        if self._answered and "body" in problem:  # the server is well, this one request is not
            return ""
        raise InputError(self._sentence(problem))

    def _sentence(self, problem: str) -> str:
        kept = f"{len(self._cache):,} replies are kept; " if len(self._cache) else ""
        return f"endpoint {self.place}: {problem}; {kept}check that the server runs and serves {self.model}, then run again"

    def _once(self, request: Request) -> str:
        """One try.

        Raises
        ------
        _Unusable
            If it failed in a way that may pass.
        InputError
            If it failed in a way that won't.
        """
        import openai

        began = time.monotonic()
        try:
            with self._client.chat.completions.with_streaming_response.create(
                model=self.model, messages=[{"role": "user", "content": request.prompt}], stream=False, **self._settings.of(request)
            ) as response:
                body = b""
                for chunk in response.iter_bytes():
                    body += chunk
                    if time.monotonic() - began > self._timeout:
                        raise _Unusable(f"no whole reply within {self._timeout:g} s")
                    if len(body) > LARGEST:
                        raise _Unusable("a body without end")
        except openai.APITimeoutError as error:
            raise _Unusable(f"no reply within {self._timeout:g} s") from error
        except openai.APIConnectionError as error:
            why = error.__cause__ or error
            raise _Unusable(f"can't be reached ({self._clean(str(why)) or type(why).__name__})") from error
        except openai.APIStatusError as error:
            said = self._clean(_message(error))
            if error.status_code in PASSING:
                raise _Unusable(f"answers {error.status_code} ({said})", _retry_after(error)) from None
            raise InputError(f"endpoint {self.place} answers {error.status_code} ({said}); {_advice(error.status_code)}") from None
        except _Unusable:
            raise
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in TRANSPORTS and not isinstance(error, OSError):
                raise
            raise _Unusable(f"the connection broke in mid-body ({type(error).__name__})") from error
        return self._clean(_content(body))

    def _clean(self, text: str) -> str:
        """The text without our key, should the server repeat it."""
        return text.replace(self._secret, "[key]") if self._secret else text


class _Gate:
    """Lets requests through no faster than so many a minute."""

    def __init__(self, per_minute: float) -> None:
        self._gap = 60 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self, stopped: threading.Event) -> None:
        if not self._gap:
            return
        with self._lock:
            now = time.monotonic()
            mine = max(now, self._next)
            self._next = mine + self._gap
        stopped.wait(mine - now)


def _content(body: bytes) -> str:
    """The text of a chat completion.

    Raises
    ------
    _Unusable
        If the body is none.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        what = "HTML" if body.lstrip()[:1] == b"<" else "half a JSON" if body.lstrip()[:1] == b"{" else "nothing" if not body else "no JSON"
        raise _Unusable(f"sends {what} as the body instead of a reply") from None
    try:
        content = found["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        raise _Unusable("sends a body that is no chat completion") from None
    if not isinstance(content, str):
        raise _Unusable("sends a body whose message holds no text")
    return content


def _message(error: Any) -> str:
    """What a server says of an error, on one short line."""
    body = error.body
    said = body.get("message", "") if isinstance(body, Mapping) else ""
    return " ".join(str(said).split())[:160] or "no reason given"


def _retry_after(error: Any) -> float | None:
    with contextlib.suppress(ValueError, TypeError):
        return float(error.response.headers.get("retry-after"))
    return None


def _advice(status: int) -> str:
    if status in (401, 403):
        return f"put a valid key into {OWN_KEY}"
    return "check --model and that the address ends in the version, as in /v1" if status == 404 else "check --model and the server's log"


def _place(url: str) -> str:
    """An address without user, key or query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/") if parts.netloc else parts.path
