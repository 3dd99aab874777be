"""Credentials, assumed roles, Regions and endpoints, resolved as every boto3 program does.

An endpoint on a loopback address is the embedded AWS. Only this module knows whether it is in use.
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import botocore.session
from botocore import xform_name
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, Credentials, DeferredRefreshableCredentials
from botocore.exceptions import UnknownRegionError
from botocore.loaders import JSONFileLoader

from controller.aws.aws_client import AwsClient
from controller.aws.calls import AwsCall, Hook
from controller.aws.errors import BOTOCORE_ERRORS, map_error
from controller.aws.rate_limits import RateLimiter
from controller.aws.response_validation import validate_response
from controller.errors import CredentialsError

# One attempt takes at most about 15 seconds; a lease must outlive it.
_SINGLE_ATTEMPT = Config(
    retries={"mode": "standard", "total_max_attempts": 1},
    connect_timeout=4,
    read_timeout=10,
    max_pool_connections=32,
    user_agent_extra="moorage",
)
# A local endpoint has one name for all services, so no prefix (`data-`, a bucket) can be added to it; and no proxy
# reaches it.
_LOCAL_ENDPOINT = _SINGLE_ATTEMPT.merge(Config(inject_host_prefix=False, s3={"addressing_style": "path"}, proxies={}))
# The embedded AWS accepts any key; real keys are never sent to it.
_PLACEHOLDER_CREDENTIALS = Credentials("moorage", "moorage")
_TOKENS = ("NextToken", "nextToken")


@dataclass(frozen=True)
class AssumeRole:
    """A role to assume: its ARN, the session's name in CloudTrail, and session tags."""

    arn: str
    session_name: str = "moorage"
    tags: Mapping[str, str] = field(default_factory=dict)
    external_id: str | None = None

    def request_parameters(self) -> dict[str, Any]:
        """Return the parameters of sts.assume_role except the ARN."""
        arguments: dict[str, Any] = {"RoleSessionName": self.session_name}
        if self.tags:
            arguments["Tags"] = [{"Key": key, "Value": value} for key, value in sorted(self.tags.items())]
        if self.external_id is not None:
            arguments["ExternalId"] = self.external_id
        return arguments


class _CompactModelLoader(JSONFileLoader):  # type: ignore[misc]  # botocore has no types
    """Loads AWS's service models without their documentation, which is most of their size."""

    def load_file(self, file_path: str) -> Any:
        """Load a model; None if there is none."""
        return _strip_documentation(super().load_file(file_path))


def _strip_documentation(model: Any) -> Any:
    """Return the model without its documentation, in plain dictionaries: botocore's ordered ones take twice the memory.

    A member that is itself named `documentation` has a mapping as its value, and stays.
    """
    if isinstance(model, dict):
        textless = {"documentation": ""} if isinstance(model.get("documentation"), str) else {}
        return {name: _strip_documentation(part) for name, part in model.items()} | textless
    return [_strip_documentation(part) for part in model] if isinstance(model, list) else model


class SessionClientFactory:
    """Makes clients from one botocore session, which itself isn't thread-safe."""

    def __init__(self, session: botocore.session.Session, *, region: str, endpoint: str | None = None) -> None:
        self.region, self.partition = region, _partition(session, region)
        self._session, self._endpoint, self._lock = session, endpoint, threading.Lock()
        session.get_component("data_loader").file_loader = _CompactModelLoader()

    def client(self, service: str) -> Any:
        """Return a client; if its endpoint is on this machine, with the settings for the embedded AWS."""
        with self._lock:
            client = self._create_client(service, _SINGLE_ATTEMPT)
            if is_loopback(client.meta.endpoint_url):
                client = self._create_client(service, _LOCAL_ENDPOINT)
            client.meta.events.register("before-parse", validate_response)
            return client

    def paginator(self, service: str, operation: str) -> dict[str, Any] | None:
        """Return botocore's paginator model, or one made from the token's name if botocore lacks the operation."""
        with self._lock:
            name, tokens = self._operation(service, operation)
            try:
                model: dict[str, Any] = self._session.get_paginator_model(service).get_paginator(name)
            except ValueError:
                return dict.fromkeys(("input_token", "output_token", "result_key"), tokens[0]) if tokens else None
            return model

    def _operation(self, service: str, operation: str) -> tuple[str, list[str]]:
        model = self._session.get_service_model(service)
        for name in model.operation_names:
            if xform_name(name) == operation:
                shape = model.operation_model(name).input_shape
                return name, [token for token in _TOKENS if shape is not None and token in shape.members]
        raise ValueError(f"boto3 knows no {service}.{operation}")

    def _create_client(self, service: str, config: Config) -> Any:
        return self._session.create_client(service, region_name=self.region, endpoint_url=self._endpoint, config=config)


def connect(
    *,
    region: str | None = None,
    profile: str | None = None,
    assume_role: AssumeRole | str | None = None,
    expected_account: str | None = None,
    hooks: Sequence[Hook] = (),
    endpoint: str | None = None,
    rate_limiter: RateLimiter | None = None,
) -> AwsClient:
    """Open a client as boto3 would: environment, profile, container or instance role, `AWS_ENDPOINT_URL`.

    `endpoint` overrides the endpoint of every service; a loopback address gets made-up credentials. Clients of one
    account share a `rate_limiter`. Sends nothing yet. Raises CredentialsError: no such profile, no Region.
    """
    where = AwsCall("read", "session", "connect", {})
    try:
        session = botocore.session.Session(profile=profile)
        chosen = region or session.get_config_variable("region")
        if chosen is None:
            raise CredentialsError(
                "no AWS region is set", hint="set spec.region of the Environment, or AWS_DEFAULT_REGION"
            )
        if endpoint is not None and is_loopback(endpoint):
            session._credentials = _PLACEHOLDER_CREDENTIALS  # noqa: SLF001  (botocore's set_credentials logs them at debug)
        if assume_role is not None:
            _assume(session, assume_role, region=chosen, endpoint=endpoint)
        clients = SessionClientFactory(session, region=chosen, endpoint=endpoint)
    except BOTOCORE_ERRORS as error:
        raise map_error(error, where) from error
    return AwsClient(clients, expected_account=expected_account, hooks=hooks, rate_limiter=rate_limiter)


def is_loopback(url: str) -> bool:
    """Return whether a URL's host is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _assume(session: botocore.session.Session, role: AssumeRole | str, *, region: str, endpoint: str | None) -> None:
    """Make the session assume the role.

    Its credentials are fetched at the first call and refreshed before they expire.
    """
    role = AssumeRole(role) if isinstance(role, str) else role

    def sts(service: str, **arguments: Any) -> Any:
        settled = {"config": _SINGLE_ATTEMPT, "region_name": region, "endpoint_url": endpoint, **arguments}
        return session.create_client(service, **settled)

    source = session.get_credentials()
    if source is None:
        raise CredentialsError(
            f"there are no credentials to assume {role.arn} with", hint="set AWS_PROFILE or AWS_ACCESS_KEY_ID"
        )
    fetcher = AssumeRoleCredentialFetcher(sts, source, role.arn, extra_args=role.request_parameters())
    session._credentials = DeferredRefreshableCredentials(  # noqa: SLF001  (the way botocore itself puts them there)
        method="assume-role", refresh_using=fetcher.fetch_credentials
    )


def _partition(session: botocore.session.Session, region: str) -> str:
    try:
        return str(session.get_partition_for_region(region))
    except UnknownRegionError:
        return "aws"
