"""The floor: aiohttp on uvloop that parses each request's JSON with orjson and answers a constant.

A program of its own.
"""

from __future__ import annotations

import sys

import orjson
import uvloop
from aiohttp import web


def main(port: int, answer: bytes) -> None:
    """Serve `POST /predict`."""

    async def predict(request: web.Request) -> web.Response:
        await request.json(loads=orjson.loads)
        return web.Response(body=answer, content_type="application/json")

    application = web.Application()
    application.router.add_post("/predict", predict)
    web.run_app(application, host="127.0.0.1", port=port, access_log=None, print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2].encode())
