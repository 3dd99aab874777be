"""The strict modules: AWS's rules and states that moto lacks. One module per AWS subject.

A module offers `install(emulator)`, called once before the program serves, and there registers any of:

- `emulator.register_handler("ecs", "CreateService", handler)`: `handler(call)` answers in place of moto, under the
  emulator's lock. `call.params` is the input as the caller gave it to boto3, `call.region` its region. Return a
  dictionary in botocore's output shape (also for operations that moto lacks), or an `ApiResponse`. To check and then
  let moto work, return `call.forward_to_moto()`; to change moto's result, edit the dictionary of `call.call_moto()`. To
  refuse, raise `ApiError("ResourceInUse", "why")`: the service's model decides form and HTTP status.
- `emulator.add_route(path, coroutine)`: an aiohttp route, for data planes.
- `emulator.add_context(manager)`: an object on the event loop while the program serves, such as an HTTP client.
- `emulator.on_reset(hook)`: called at start and after each reset; clear own state, seed what a new AWS account has.
- `emulator.start_worker(name, worker)`: a thread for slow work; `worker(stop)` takes `emulator.lock` only for state.
- `emulator.processes.spawn(command, ...)`: a process that never outlives the program.
- `emulator.publish_event(...)`, `emulator.write_log_lines(...)`: EventBridge events and CloudWatch log lines.

moto's state is `moto.SERVICE.models.SERVICE_backends[account][region]`. Where a handler can't reach, a module may
replace moto's methods, or add operations with `setattr`. A comment names the AWS source of every strict behaviour.
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
