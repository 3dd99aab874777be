"""Services: created once, updated by deployments, deleted by draining.

Sources: ECS API reference, CreateService, UpdateService, DeleteService, ListServices. Error messages are AWS's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.ecs.models import ecs_backends
from moto.servicediscovery.models import servicediscovery_backends

from embedded_aws.api_call import ApiCall, ApiError
from embedded_aws.emulator import Emulator
from embedded_aws.strict.ecs import lookup, network_configuration
from embedded_aws.strict.ecs.lookup import client_exception, invalid_parameter
from embedded_aws.tasks.deployments import scale
from embedded_aws.tasks.describe import describe_service
from embedded_aws.tasks.references import NOT_ASSUMABLE_MESSAGE, is_role_propagating
from embedded_aws.tasks.scheduler import ServiceScheduler
from embedded_aws.tasks.state import EcsService, ServiceRevision, generate_number

# A change to one of these creates a new revision, hence a new deployment (API reference, UpdateService).
_REVISION_SETTINGS = (
    "networkConfiguration",
    "serviceRegistries",
    "loadBalancers",
    "capacityProviderStrategy",
    "platformVersion",
)
# Stored as given and returned unchanged, with CreateService's defaults.
_SETTING_DEFAULTS: dict[str, Any] = {
    "availabilityZoneRebalancing": "ENABLED",
    "healthCheckGracePeriodSeconds": 0,
    "enableECSManagedTags": False,
    "propagateTags": "NONE",
    "enableExecuteCommand": False,
}
_DEPLOYMENT_DEFAULTS = {
    "minimumHealthyPercent": 100,
    "maximumPercent": 200,
    "strategy": "ROLLING",
    "bakeTimeInMinutes": 0,
}


def install(emulator: Emulator, scheduler: ServiceScheduler) -> None:
    """Register the handlers of the service operations."""
    api = ServiceHandlers(emulator, scheduler)
    emulator.register_handler("ecs", "CreateService", api.create)
    emulator.register_handler("ecs", "UpdateService", api.update)
    emulator.register_handler("ecs", "DeleteService", api.delete)
    emulator.register_handler("ecs", "DescribeServices", api.describe)
    emulator.register_handler("ecs", "ListServices", api.list)


class ServiceHandlers:
    """The handlers."""

    def __init__(self, emulator: Emulator, scheduler: ServiceScheduler) -> None:
        self._emulator, self._scheduler = emulator, scheduler

    def create(self, call: ApiCall) -> Mapping[str, Any]:
        """Create a service, or return the one that an identical request with the same client token created."""
        params = call.params
        cluster = lookup.get_cluster_name(call)
        arn = lookup.build_service_arn(call, cluster, params["serviceName"])
        if existing := self._find_existing(call, arn):
            return {"service": describe_service(existing, tags=True)}
        definition = _get_active_definition(call)
        self._require_roles(definition)
        _check_strategy(params)
        service = EcsService(
            name=params["serviceName"],
            cluster=cluster,
            region=call.region,
            account=call.account,
            created=self._emulator.now(),
            desired_count=_parse_desired_count(params),
            settings={name: params.get(name, default) for name, default in _SETTING_DEFAULTS.items()},
            deployment_configuration=_merge_configuration({}, params.get("deploymentConfiguration")),
            request=dict(params),
            tags=list(params.get("tags") or []),
        )
        revision = self._build_revision(call, service, definition.arn, {})
        self._scheduler.services[arn] = service
        # moto's tagging reads its services from here.
        ecs_backends[call.account][call.region].services[f"{cluster}:{service.name}"] = service
        self._scheduler.deploy(service, revision)
        shown = describe_service(service, tags=True)
        self._scheduler.schedule(service)
        return {"service": shown}

    def _require_roles(self, definition: Any) -> None:
        """Refuse roles that ECS can't assume yet, with the message that ECS has for the tasks of such a service."""
        for name in ("execution_role_arn", "task_role_arn"):
            role = getattr(definition, name, None)
            if role and is_role_propagating(self._emulator.weather, role, self._emulator.account):
                raise invalid_parameter(NOT_ASSUMABLE_MESSAGE.format(role))

    def _find_existing(self, call: ApiCall, arn: str) -> EcsService | None:
        """Return the service that this request created before. Refuse a name or token of another request."""
        token = call.params.get("clientToken")
        for service in self._scheduler.services.values():
            same_token = token is not None and service.request.get("clientToken") == token
            if service.status == "INACTIVE" or (service.arn != arn and not same_token):
                continue
            if service.status == "DRAINING":
                raise invalid_parameter("Unable to Start a service that is still Draining.")
            if same_token and service.request == call.params:
                return service
            raise invalid_parameter("Creation of service was not idempotent.")
        return None

    def update(self, call: ApiCall) -> Mapping[str, Any]:
        """Update a service. A new revision or forceNewDeployment starts a new deployment."""
        params, service = call.params, lookup.get_service(call, self._scheduler)
        if service.status != "ACTIVE":
            raise ApiError("ServiceNotActiveException", "Service was not ACTIVE.")
        current = service.primary.revision
        target = _get_active_definition(call).arn if "taskDefinition" in params else current.task_definition
        _check_strategy(params)
        revised = self._build_revision(call, service, target, current.settings)
        configuration = _merge_configuration(service.deployment_configuration, params.get("deploymentConfiguration"))
        desired = _parse_desired_count(params) if "desiredCount" in params else service.desired_count
        # Nothing was changed above this line, so a refused update leaves the service as it was.
        service.deployment_configuration = configuration
        service.settings |= {name: params[name] for name in _SETTING_DEFAULTS if name in params}
        if desired != service.desired_count:
            scale(service, desired)
        changed = (revised.task_definition, revised.settings) != (current.task_definition, current.settings)
        if changed or params.get("forceNewDeployment"):
            self._scheduler.deploy(service, revised)
        shown = describe_service(service, tags=True)
        self._scheduler.schedule(service)
        return {"service": shown}

    def delete(self, call: ApiCall) -> Mapping[str, Any]:
        """Delete a service by draining it.

        Only a service scaled to zero can be deleted without `force`. A service that is DRAINING or INACTIVE stays as it
        is.
        """
        service = lookup.get_service(call, self._scheduler)
        if service.status == "ACTIVE":
            running = any(task.desired_status == "RUNNING" for task in service.tasks.values())
            if not call.params.get("force") and (service.desired_count or running):
                raise invalid_parameter("The service cannot be stopped while it is scaled above 0.")
            self._scheduler.drain(service)
            shown = describe_service(service, tags=True)
            return {"service": shown | {"status": "DRAINING"}}
        if service.status == "INACTIVE":
            raise ApiError("ServiceNotFoundException", "Service not found.")
        return {"service": describe_service(service, tags=True)}

    def describe(self, call: ApiCall) -> Mapping[str, Any]:
        """Describe up to ten services."""
        cluster, tags = lookup.get_cluster_name(call), "TAGS" in call.params.get("include", [])
        references = call.params["services"]
        if not references:
            raise invalid_parameter("Services cannot be empty.")
        if len(references) > 10:
            raise invalid_parameter("Too many services to describe: at most 10.")
        found: dict[str, list[Any]] = {"services": [], "failures": []}
        for reference in references:
            arn = lookup.build_service_arn(call, cluster, reference)
            if service := self._scheduler.services.get(arn):
                found["services"].append(describe_service(service, tags=tags))
            else:
                found["failures"].append(lookup.build_failure(arn))
        return found

    def list(self, call: ApiCall) -> Mapping[str, Any]:
        """List the ACTIVE services of a cluster. Draining services are not listed."""
        cluster = lookup.get_cluster_name(call)
        scope = (call.region, cluster)
        services = [
            s for s in self._scheduler.services.values() if (s.region, s.cluster) == scope and s.status == "ACTIVE"
        ]
        return lookup.list_page(call, "serviceArns", [service.arn for service in services])

    def _build_revision(
        self, call: ApiCall, service: EcsService, task_definition: str, current: Mapping[str, Any]
    ) -> ServiceRevision:
        """Return the revision after the call: the current one with the call's changes."""
        given = {name: call.params[name] for name in _REVISION_SETTINGS if name in call.params}
        settings = {"networkConfiguration": None, "serviceRegistries": [], "loadBalancers": []} | dict(current) | given
        if "networkConfiguration" in given or not current:
            settings["networkConfiguration"] = network_configuration.check_network_configuration(
                call, settings["networkConfiguration"]
            )
        if "serviceRegistries" in given:
            _check_registries(call, lookup.get_task_definition(call, task_definition), settings["serviceRegistries"])
        arn = service.child_arn("service-revision", generate_number())
        return ServiceRevision(arn, self._emulator.now(), task_definition, settings)


def _get_active_definition(call: ApiCall) -> Any:
    if not call.params.get("taskDefinition"):
        raise invalid_parameter("TaskDefinition can not be blank.")
    definition = lookup.get_task_definition(call, call.params["taskDefinition"])
    if definition.status != "ACTIVE":
        raise client_exception("TaskDefinition is inactive")
    return definition


def _parse_desired_count(params: Mapping[str, Any]) -> int:
    desired = params.get("desiredCount")
    if desired is None:
        raise invalid_parameter("The desired count is required for the REPLICA scheduling strategy.")
    if desired < 0:
        raise invalid_parameter("The desired count can not be negative.")
    return int(desired)


def _merge_configuration(current: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Merge the given settings over the current ones, and both over the rolling update's defaults."""
    merged = {**_DEPLOYMENT_DEFAULTS, **current, **(given or {})}
    breaker = {"enable": False, "rollback": False} | (merged.get("deploymentCircuitBreaker") or {})
    merged["deploymentCircuitBreaker"] = breaker
    if merged["maximumPercent"] < 100 and merged["minimumHealthyPercent"] >= merged["maximumPercent"]:
        raise invalid_parameter("MaximumPercent and MinimumHealthyPercent can not both be below or equal to 100")
    if not 0 <= merged["minimumHealthyPercent"] <= 100:
        raise invalid_parameter("minimumHealthyPercent must be between 0 and 100.")
    return merged


def _check_strategy(params: Mapping[str, Any]) -> None:
    """Refuse features that AWS has and the embedded AWS lacks."""
    strategy = (params.get("deploymentConfiguration") or {}).get("strategy", "ROLLING")
    controller = (params.get("deploymentController") or {}).get("type", "ECS")
    if strategy != "ROLLING" or controller != "ECS" or params.get("schedulingStrategy", "REPLICA") != "REPLICA":
        raise ApiError(
            "UnsupportedFeatureException", f"The embedded AWS has rolling updates of replicas only: {strategy}"
        )
    if params.get("launchType", "FARGATE") != "FARGATE":
        raise invalid_parameter("No Container Instances were found in your cluster.")
    if params.get("loadBalancers"):
        raise ApiError("UnsupportedFeatureException", "The embedded AWS has no load balancers in front of services")


def _check_registries(call: ApiCall, definition: Any, registries: list[Mapping[str, Any]]) -> None:
    """Check that the Cloud Map service exists and that SRV records get a port (API reference, ServiceRegistry)."""
    backend = servicediscovery_backends[call.account][call.region]
    if len(registries) > 1:
        raise invalid_parameter("Only one service registry can be specified.")
    for entry in registries:
        service = backend.services.get(entry.get("registryArn", "").rsplit("/", 1)[-1])
        if service is None or service.arn != entry["registryArn"]:
            raise invalid_parameter(f"Service registry {entry.get('registryArn')} not found.")
        has_container = "containerName" in entry and "containerPort" in entry
        records = (service.dns_config or {}).get("DnsRecords", [])
        if any(record["Type"] == "SRV" for record in records) and has_container == ("port" in entry):
            raise invalid_parameter(
                "When using awsvpc and SRV records, specify either containerName and containerPort, or port, not both."
            )
        ports = {
            (container["name"], mapping["containerPort"])
            for container in definition.container_definitions
            for mapping in container["portMappings"]
        }
        if has_container and (entry["containerName"], entry["containerPort"]) not in ports:
            raise invalid_parameter(
                f"The container {entry['containerName']} does not exist in the task definition, "
                f"or does not map port {entry['containerPort']}."
            )
