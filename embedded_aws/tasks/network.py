"""A task's network: a loopback address of its own, and an elastic network interface in moto's EC2.

Linux answers on all of 127.0.0.0/8, so the ports of each task are free on its own address. DescribeTasks and Cloud Map
show that address. The interface makes visible which subnets and security groups are in use.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from moto.ec2 import ec2_backends
from moto.ec2.exceptions import EC2ClientError

from embedded_aws.tasks.state import EcsTask


class LoopbackAddresses:
    """The loopback addresses in use. Another embedded AWS may run on this machine, so each address is tried first."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        # A random start makes a collision with another embedded AWS unlikely. Addresses below 127.16 are left alone.
        self._next = random.SystemRandom().randrange(16 << 16, 255 << 16)

    def allocate(self, ports: Sequence[int]) -> str:
        """Return an unused address on which none of `ports` is in use."""
        while True:
            self._next = self._next + 1 if self._next < (255 << 16) else 16 << 16
            address = f"127.{self._next >> 16}.{self._next >> 8 & 255}.{self._next & 255}"
            if self._next & 255 not in {0, 255} and address not in self._taken and _are_ports_free(address, ports):
                self._taken.add(address)
                return address

    def release(self, address: str) -> None:
        """Release the address for a later task; the addresses after it are tried first."""
        self._taken.discard(address)


def attach_interface(task: EcsTask, network_configuration: Mapping[str, Any]) -> str:
    """Create the task's network interface in its first subnet, with its security groups.

    Return the reason in ECS's words when that fails, else an empty string.
    """
    vpc_configuration = network_configuration["awsvpcConfiguration"]
    subnet = vpc_configuration["subnets"][0]
    try:
        task.interface = ec2_backends[task.account][task.region].create_network_interface(
            subnet=subnet,
            private_ip_address=task.address,
            group_ids=list(vpc_configuration["securityGroups"]),
            description=task.task_arn.replace("task/", "attachment/"),
        )
    except EC2ClientError as error:
        return f"Unexpected EC2 error while attempting to Create Network Interface in subnet '{subnet}': {error}"
    return ""


def detach_interface(task: EcsTask) -> None:
    """Delete the task's network interface. A missing one is no error."""
    if task.interface:
        ec2_backends[task.account][task.region].enis.pop(task.interface.id, None)


def _are_ports_free(address: str, ports: Sequence[int]) -> bool:
    for port in ports:
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except PermissionError:
                # A port below 1024 can't be tried, and the task can't bind it either: it reports that itself.
                continue
            except OSError:
                return False
    return True
