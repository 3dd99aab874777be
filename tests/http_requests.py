"""Requests to what is served, as its clients send them: once, and without a pause."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NO_PROXY_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def send_request(url: str, body: Any = None, method: str | None = None) -> tuple[int, bytes]:
    """Status and body of the answer; with a body, which is sent as JSON, a POST."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
    try:
        with _NO_PROXY_OPENER.open(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@contextmanager
def continuous_client(endpoint: str, row: list[float]) -> Iterator[Counter[str]]:
    """Somebody who asks for predictions all the time, twice at once; counts every outcome."""
    outcomes: Counter[str] = Counter()
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            try:
                outcomes[str(send_request(f"{endpoint}/predict", {"instances": [row]})[0])] += 1
            except OSError as error:
                outcomes[repr(error)] += 1

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        stop.set()
        for thread in threads:
            thread.join()
