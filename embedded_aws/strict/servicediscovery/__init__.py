"""Cloud Map with the rules that moto lacks. moto keeps namespaces, services and instances.

    namespaces.py  namespaces
    services.py    services, and tags of both
    instances.py   instances, their health and how they are discovered

Sources: the AWS Cloud Map API reference, as in botocore's service model; each rule names its operation or error. Local
endpoints can't take the `data-` host prefix of DiscoverInstances, so clients set `inject_host_prefix=False`. A call
that arrives with the prefix in its Host header is answered all the same, because calls are identified by their
signature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedded_aws.strict.servicediscovery import instances, namespaces, services

if TYPE_CHECKING:
    from embedded_aws.emulator import Emulator


def install(emulator: Emulator) -> None:
    """Register the handlers."""
    for part in (namespaces, services, instances):
        part.install(emulator)
