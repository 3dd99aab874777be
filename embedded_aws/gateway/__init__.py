"""The data plane of API Gateway's HTTP APIs: requests to `/_aws/execute-api/{api_id}/…` really reach the tasks.

    tables.py      what it is told: APIs, stages, deployments, routes, integrations. Frozen, replaced as a whole
    plane.py       the story of one request
    routes.py      which route answers
    parameters.py  parameter mapping
    cors.py        preflight answers and CORS headers
    throttle.py    token buckets
    forward.py     instances and the HTTP client

The control plane (`strict/apigatewayv2/`) hands a new table to `Gateway.publish` after each change. Requests read
tables that never change and take no lock, so they don't queue behind API calls.
"""

from embedded_aws.gateway.data_plane import HttpApiDataPlane

__all__ = ["HttpApiDataPlane"]
