"""What makes the embedded AWS as strict, and as alive, as the real one. One module per AWS subject.

A module offers `install(emulator)`, called once before the program serves, and there registers any of:

- `emulator.handle("ecs", "CreateService", handler)`: `handler(call)` answers instead of moto, under the emulator's lock.
  `call.params` is the input as the caller gave it to boto3, `call.region` where it goes. Return a dictionary in
  botocore's output shape (also for operations moto lacks), or an `Answer`. To check and then let moto work, return
  `call.forward()`; to change moto's result, edit the dictionary `call.proceed()` gives. To refuse, raise
  `Refused("ResourceInUse", "why")`: the answer has the form and the status the service's model gives that code.
- `emulator.route(path, coroutine)`: a native aiohttp route, for data planes.
- `emulator.context(manager)`: what lives on the event loop as long as the program serves, such as an HTTP client.
- `emulator.on_reset(hook)`: called at start and after each reset; forget own state, seed what AWS has from birth.
- `emulator.work(name, worker)`: a thread for what takes time; `worker(stop)` takes `emulator.lock` only to touch state.
- `emulator.children.spawn(command, ...)`: a process that never outlives the program.
- `emulator.publish(...)`, `emulator.log(...)`: EventBridge events and CloudWatch log lines.

moto's state is at hand as `moto.SERVICE.models.SERVICE_backends[account][region]`; its methods may be replaced, or
operations added with `setattr`, where a handler can't reach. Every strict behaviour names its AWS source in a comment.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedded_aws.emulator import Emulator


def install_all(emulator: Emulator) -> None:
    """Install every module of this package that offers `install`."""
    for found in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        module = importlib.import_module(f"{__name__}.{found.name}")
        if install := getattr(module, "install", None):
            install(emulator)
