"""One AWS API call: its operation, its parameters, and how to build the response.

Service names are botocore's (`ecs`, `apigatewayv2`, `servicediscovery`); operations are AWS's own (`CreateService`).
moto's protocol tables parse requests and serialize responses, so handlers work with plain dictionaries. The meaning of
an operation belongs in `strict/`; HTTP and threads belong in `server.py`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.exceptions import UnknownServiceError
from botocore.model import OperationNotFoundError
from botocore.parsers import create_parser
from moto.core.model import OperationModel
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import (
    PRESERVED_HEADER_NAMES_ENVIRON_KEY,
    Request,
    determine_request_protocol,
    environ_key_for_header,
    should_preserve_original_header_name,
)
from moto.core.routing import NotFound, get_service_router
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model

# Signing names (SigV4's credential scope) that differ from botocore's service names.
_SIGNING_NAMES = {
    "elasticloadbalancing": "elbv2",
    "monitoring": "cloudwatch",
    "tagging": "resourcegroupstaggingapi",
}


class ApiError(Exception):
    """AWS's error `code` in answer to a call. A `response` that moto has already written is passed on unchanged."""

    def __init__(
        self, code: str, message: str, *, status: int | None = None, response: ApiResponse | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status, self.response = code, message, status, response


class _SerializableError(Exception):
    """An error in the form that moto's serializers take: any exception with a code and a message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True)
class ApiResponse:
    """An HTTP response. Header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class ApiCall:
    """One request. `target` is path and query as sent; `region` comes from the signature.

    `send_to_moto` runs moto on the request.
    """

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    account: str
    region: str
    service: str = ""
    operation: str = ""
    host: str = "127.0.0.1"
    send_to_moto: Callable[[ApiCall], ApiResponse] = field(default=lambda _: ApiResponse(501), repr=False)
    _uri: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """`service.Operation`, as faults and counters spell it; empty parts when unknown."""
        return f"{self.service}.{self.operation}"

    @cached_property
    def params(self) -> dict[str, Any]:
        """The operation's input in botocore's shape: the arguments that the caller gave boto3."""
        request = self.build_moto_request()
        model = get_service_model(self.service)
        parser = PROTOCOL_PARSERS[determine_request_protocol(model, request.content_type)](
            self._operation_model(), map_type=dict
        )
        parsed = parser.parse(
            {
                "method": request.method,
                "values": request.values,
                "headers": request.headers,
                "body": request.data,
                "url_path": request.path,
                "url_params": self._uri,
            }
        )
        return dict(parsed)

    def get_header(self, name: str, default: str = "") -> str:
        """Return the header's value, whatever its case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), default)

    def forward_to_moto(self) -> ApiResponse:
        """Return moto's own response to this request, errors included."""
        return self.send_to_moto(self)

    def call_moto(self) -> dict[str, Any]:
        """Return moto's result as a dictionary in botocore's shape. Raises ApiError when moto refuses the call."""
        answer = self.forward_to_moto()
        if answer.status >= 300:
            raise ApiError("", "moto refused", status=answer.status, response=answer)
        # A model may list several protocols; moto answers in the protocol of the request.
        parser = create_parser(
            determine_request_protocol(get_service_model(self.service), self.get_header("content-type"))
        )
        response = {"status_code": answer.status, "headers": dict(answer.headers), "body": answer.body}
        parsed = parser.parse(response, self._operation_model().output_shape)
        parsed.pop("ResponseMetadata", None)
        return dict(parsed)

    def build_response(self, value: Mapping[str, Any]) -> ApiResponse:
        """Serialize `value`, in botocore's output shape, in the service's protocol."""
        return self._serialize(value)

    def build_error(self, code: str, message: str, status: int | None = None) -> ApiResponse:
        """Serialize an error in the service's protocol. The model knows the HTTP status of the codes that it lists."""
        if not self.service:
            body = json.dumps({"__type": code, "message": message}).encode()
            return ApiResponse(status or 400, {"content-type": "application/json"}, body)
        answer = self._serialize(_SerializableError(code, message))
        return ApiResponse(status or answer.status, answer.headers, answer.body)

    def _serialize(self, value: Any) -> ApiResponse:
        model = get_service_model(self.service)
        content_type = "" if self.service == "s3" else self.get_header("content-type")
        serializer = get_serializer_class(self.service, determine_request_protocol(model, content_type))
        written = serializer(operation_model=self._operation_model()).serialize(value)
        body = written["body"]
        headers = {key.lower(): str(text) for key, text in written["headers"].items()}
        return ApiResponse(written["status_code"], headers, body if isinstance(body, bytes) else str(body).encode())

    def _operation_model(self) -> Any:
        model = get_service_model(self.service)
        try:
            return model.operation_model(self.operation)
        except OperationNotFoundError:
            return OperationModel({}, model)

    def build_wsgi_environ(self) -> dict[str, Any]:
        """Return the request as a WSGI environment, built the way moto's own server builds it."""
        parts = urlsplit(self.target)
        kept = {environ_key_for_header(n): n for n, _ in self.headers if should_preserve_original_header_name(n)}
        environ: dict[str, Any] = {environ_key_for_header(name): value for name, value in self.headers}
        environ |= {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(parts.path).encode().decode("latin-1"),
            "QUERY_STRING": parts.query,
            "RAW_URI": self.target,
            "REQUEST_URI": self.target,
            "SERVER_NAME": self.host.split(":")[0],
            "SERVER_PORT": self.host.partition(":")[2] or "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "CONTENT_LENGTH": str(len(self.body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(self.body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            PRESERVED_HEADER_NAMES_ENVIRON_KEY: kept,
        }
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        return environ

    def build_moto_request(self) -> Any:
        """Return the request in the form that moto's protocol tables take."""
        return Request(self.build_wsgi_environ())


def identify_operation(call: ApiCall) -> None:
    """Set `service`, `operation` and `region` from the signature, the target header, the form or the path."""
    service, region = _credential_scope(call)
    if not service:
        return
    call.region = region or call.region
    call.service = _service_name(service, call)
    try:
        get_service_model(call.service)
    except UnknownServiceError:
        call.service = ""
        return
    call.operation = _operation_name(call)


def _credential_scope(call: ApiCall) -> tuple[str, str]:
    """Return service and region of SigV4's credential scope `key/date/region/service/aws4_request`."""
    authorization = call.get_header("authorization")
    credential = authorization.partition("Credential=")[2].split(",")[0]
    if not credential:
        query = parse_qs(urlsplit(call.target).query)
        credential = query.get("X-Amz-Credential", [""])[0]
    scope = credential.split("/")
    return (scope[3], scope[2]) if len(scope) == 5 else ("", "")


def _service_name(signing_name: str, call: ApiCall) -> str:
    if signing_name == "apigateway" and call.target.startswith("/v2/"):
        return "apigatewayv2"
    return _SIGNING_NAMES.get(signing_name, signing_name)


def _operation_name(call: ApiCall) -> str:
    if target := call.get_header("x-amz-target"):
        return target.rsplit(".", 1)[-1]
    if call.get_header("content-type").startswith("application/x-www-form-urlencoded"):
        form = parse_qs(call.body.decode("utf-8", "replace"))
        if "Action" in form:
            return form["Action"][0]
    try:
        operation, call._uri = get_service_router(call.service).match(call.build_moto_request())  # noqa: SLF001
    except (NotFound, NotImplementedError):
        return ""
    return str(operation.name)
