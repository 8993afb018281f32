"""One connection to a server: requests out, answers or errors back."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from frostline.errors import Broken, Lost, Unreachable, refusal

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
"""Longer than any answer takes, but for uploads, which have no limit."""
REPEATS = 4
REPEAT_SECONDS = 0.5
SUCCESSES = range(200, 300)


class Connection:
    """What the nouns of the client speak through."""

    def __init__(self, url: str, api_key: str | None) -> None:
        self.url = url.rstrip("/")
        headers = {"Accept": "application/json", "User-Agent": "frostline"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self._client = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
        )

    def close(self) -> None:
        """Give the sockets back."""
        self._client.close()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request; raise what the server or the network has against it.

        An answer that gets lost on its way (the server was restarted) is asked for
        again where that is safe: for a GET, and for what carries an Idempotency-Key.
        """
        repeatable = method == "GET" or "Idempotency-Key" in options.get("headers", {})
        for remaining in reversed(range(REPEATS if repeatable else 1)):
            try:
                with self.facts():
                    answer = self._client.request(method, path, **options)
                break
            except Lost:
                if not remaining:
                    raise
                time.sleep(REPEAT_SECONDS)
        self.check(answer)
        return answer

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Send one request and return the JSON of its answer."""
        answer = self.request(method, path, **options)
        try:
            return answer.json()
        except ValueError:
            raise Broken(str(answer.url), answer.text[:200]) from None

    @contextmanager
    def stream(self, path: str, **options: Any) -> Iterator[httpx.Response]:
        """Send a GET request and read its answer while it comes."""
        with self.facts(), self._client.stream("GET", path, **options) as answer:
            if answer.status_code not in SUCCESSES:
                answer.read()
            self.check(answer)
            yield answer

    @contextmanager
    def facts(self) -> Iterator[None]:
        """Turn what the network reports into one sentence for a person."""
        try:
            yield
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise Unreachable(self.url, f"not an http address: {error}") from None
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            cause = str(error) or type(error).__name__
            kind = Unreachable if isinstance(error, httpx.ConnectError) else Lost
            raise kind(self.url, cause) from None
        except httpx.TransportError as error:
            raise Unreachable(self.url, str(error) or type(error).__name__) from None

    @staticmethod
    def check(answer: httpx.Response) -> None:
        """Raise the error that a refusal stands for."""
        if answer.status_code in SUCCESSES:
            return
        try:
            document = answer.json()
        except ValueError:
            document = None
        if not isinstance(document, Mapping) or "status" not in document:
            found = f"status {answer.status_code}, {answer.text[:200]!r}"
            raise Broken(str(answer.url), found)
        raise refusal(answer.status_code, document)
