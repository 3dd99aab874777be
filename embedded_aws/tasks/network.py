"""A task's place in the network: a loopback address of its own, and an elastic network interface in moto's EC2.

Linux answers on all of 127.0.0.0/8, so every task has the address on which its ports are free. The address is what
DescribeTasks and Cloud Map show. The interface is there so that what uses a subnet or a security group can be seen.
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
    """Loopback addresses in use. Others on this machine may run an embedded AWS too, so each is tried before."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        # A start of one's own makes it unlikely to meet a neighbour; below 127.16 is left alone.
        self._next = random.SystemRandom().randrange(16 << 16, 255 << 16)

    def allocate(self, ports: Sequence[int]) -> str:
        """Return an address that nobody has, and on which none of `ports` is in use."""
        while True:
            self._next = self._next + 1 if self._next < (255 << 16) else 16 << 16
            address = f"127.{self._next >> 16}.{self._next >> 8 & 255}.{self._next & 255}"
            if self._next & 255 not in {0, 255} and address not in self._taken and _are_ports_free(address, ports):
                self._taken.add(address)
                return address

    def release(self, address: str) -> None:
        """Let another task have the address, later: the next ones are tried first."""
        self._taken.discard(address)


def attach_interface(task: EcsTask, network_configuration: Mapping[str, Any]) -> str:
    """Make the task's network interface, in its first subnet and its security groups.

    Return why that can't be done, in ECS's words, or an empty text.
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
    """Delete the task's network interface; it may be gone."""
    if task.interface:
        ec2_backends[task.account][task.region].enis.pop(task.interface.id, None)


def _are_ports_free(address: str, ports: Sequence[int]) -> bool:
    for port in ports:
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except PermissionError:
                # A port below 1024 can't be tried, nor taken by the task: it will say so itself.
                continue
            except OSError:
                return False
    return True
