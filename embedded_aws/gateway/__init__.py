"""The data plane of API Gateway's HTTP APIs: forward requests to `/_aws/execute-api/{api_id}/…` to running tasks.

    published.py          published configuration: APIs, stages, routes, integrations. Frozen, replaced as a whole
    data_plane.py         the path of one request
    route_selection.py    which route answers
    parameter_mapping.py  parameter mapping
    cors.py               preflight answers and CORS headers
    route_throttle.py     token buckets
    forwarding.py         instances and the HTTP client

The control plane (`strict/apigatewayv2/`) publishes a new `PublishedApi` after each change. Requests read immutable
values and take no lock, so they don't queue behind API calls.
"""

from embedded_aws.gateway.data_plane import HttpApiDataPlane

__all__ = ["HttpApiDataPlane"]
