"""Starts MLServer with one model and without parallel workers, metrics endpoint or access log."""

import asyncio
import os
import socket
import sys

from mlserver import MLServer, ModelSettings, Settings
from mlserver.settings import ModelParameters
from mlserver.utils import install_uvloop_event_loop
from runtime import Housing


def free_port() -> int:
    """Give a port for gRPC, which can't be left out."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def main(port: int) -> None:
    """Serve until told to stop."""
    settings = Settings(
        host="127.0.0.1",
        http_port=port,
        grpc_port=free_port(),
        metrics_endpoint=None,
        parallel_workers=0,
        debug=False,
        use_structured_logging=False,
    )
    parameters = ModelParameters(uri=os.environ["MODEL"])
    await MLServer(settings).start([ModelSettings(name="housing-model", implementation=Housing, parameters=parameters)])


if __name__ == "__main__":
    install_uvloop_event_loop()
    asyncio.run(main(int(sys.argv[1])))
