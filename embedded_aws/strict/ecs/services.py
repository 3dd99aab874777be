"""Services: created once, updated by deployments, deleted by draining.

Sources: ECS API reference, CreateService, UpdateService, DeleteService, ListServices; refusals as AWS words them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.ecs.models import ecs_backends
from moto.servicediscovery.models import servicediscovery_backends

from embedded_aws.call import Call, Refused
from embedded_aws.strict.ecs import find, placement
from embedded_aws.strict.ecs.find import client_error, invalid
from embedded_aws.tasks.deployments import scale
from embedded_aws.tasks.describe import service_of
from embedded_aws.tasks.fleet import Fleet
from embedded_aws.tasks.model import Revision, Service, new_number
from embedded_aws.tasks.references import NOT_ASSUMED, spreads
from embedded_aws.world import World

# A change of one of these is a new revision, hence a new deployment (API reference, UpdateService).
_REVISIONED = (
    "networkConfiguration",
    "serviceRegistries",
    "loadBalancers",
    "capacityProviderStrategy",
    "platformVersion",
)
# Kept as given and shown again; what CreateService takes when they are not given.
_KEPT: dict[str, Any] = {
    "availabilityZoneRebalancing": "ENABLED",
    "healthCheckGracePeriodSeconds": 0,
    "enableECSManagedTags": False,
    "propagateTags": "NONE",
    "enableExecuteCommand": False,
}
_DEPLOYMENT = {"minimumHealthyPercent": 100, "maximumPercent": 200, "strategy": "ROLLING", "bakeTimeInMinutes": 0}


def register(world: World, fleet: Fleet) -> None:
    """Take over the service operations."""
    api = Services(world, fleet)
    world.handle("ecs", "CreateService", api.create)
    world.handle("ecs", "UpdateService", api.update)
    world.handle("ecs", "DeleteService", api.delete)
    world.handle("ecs", "DescribeServices", api.describe)
    world.handle("ecs", "ListServices", api.list)


class Services:
    """The handlers."""

    def __init__(self, world: World, fleet: Fleet) -> None:
        self._world, self._fleet = world, fleet

    def create(self, call: Call) -> Mapping[str, Any]:
        """Create, or return the service an identical request with the same client token made."""
        params = call.params
        cluster = find.cluster_name(call)
        arn = find.service_arn(call, cluster, params["serviceName"])
        if existing := self._existing(call, arn):
            return {"service": service_of(existing, tags=True)}
        definition = _usable_definition(call)
        self._require_roles(definition)
        _check_strategy(params)
        service = Service(
            name=params["serviceName"],
            cluster=cluster,
            region=call.region,
            account=call.account,
            created=self._world.now(),
            desired=_desired(params),
            settings={name: params.get(name, default) for name, default in _KEPT.items()},
            configuration=_configuration({}, params.get("deploymentConfiguration")),
            request=dict(params),
            tags=list(params.get("tags") or []),
        )
        revision = self._revision(call, service, definition.arn, {})
        self._fleet.services[arn] = service
        # moto's tagging reads its services here.
        ecs_backends[call.account][call.region].services[f"{cluster}:{service.name}"] = service
        self._fleet.deploy(service, revision)
        shown = service_of(service, tags=True)
        self._fleet.settle(service)
        return {"service": shown}

    def _require_roles(self, definition: Any) -> None:
        """Refuse roles that ECS can't assume yet, with the words that it has for the tasks of such a service."""
        for name in ("execution_role_arn", "task_role_arn"):
            role = getattr(definition, name, None)
            if role and spreads(self._world.weather, role, self._world.account):
                raise invalid(NOT_ASSUMED.format(role))

    def _existing(self, call: Call, arn: str) -> Service | None:
        """Return the service this request made before. Refused: the name or the token is another's."""
        token = call.params.get("clientToken")
        for service in self._fleet.services.values():
            same_token = token is not None and service.request.get("clientToken") == token
            if service.status == "INACTIVE" or (service.arn != arn and not same_token):
                continue
            if service.status == "DRAINING":
                raise invalid("Unable to Start a service that is still Draining.")
            if same_token and service.request == call.params:
                return service
            raise invalid("Creation of service was not idempotent.")
        return None

    def update(self, call: Call) -> Mapping[str, Any]:
        """Change; a new revision or forceNewDeployment begins a new deployment."""
        params, service = call.params, find.service(call, self._fleet)
        if service.status != "ACTIVE":
            raise Refused("ServiceNotActiveException", "Service was not ACTIVE.")
        current = service.primary.revision
        target = _usable_definition(call).arn if "taskDefinition" in params else current.task_definition
        _check_strategy(params)
        revised = self._revision(call, service, target, current.settings)
        configuration = _configuration(service.configuration, params.get("deploymentConfiguration"))
        desired = _desired(params) if "desiredCount" in params else service.desired
        # Nothing was changed above this line, so that a refusal leaves the service as it was.
        service.configuration = configuration
        service.settings |= {name: params[name] for name in _KEPT if name in params}
        if desired != service.desired:
            scale(service, desired)
        changed = (revised.task_definition, revised.settings) != (current.task_definition, current.settings)
        if changed or params.get("forceNewDeployment"):
            self._fleet.deploy(service, revised)
        shown = service_of(service, tags=True)
        self._fleet.settle(service)
        return {"service": shown}

    def delete(self, call: Call) -> Mapping[str, Any]:
        """Drain; only a service scaled to zero, or with `force`. One that is DRAINING or INACTIVE stays so."""
        service = find.service(call, self._fleet)
        if service.status == "ACTIVE":
            running = any(task.desired == "RUNNING" for task in service.tasks.values())
            if not call.params.get("force") and (service.desired or running):
                raise invalid("The service cannot be stopped while it is scaled above 0.")
            self._fleet.drain(service)
            shown = service_of(service, tags=True)
            return {"service": shown | {"status": "DRAINING"}}
        if service.status == "INACTIVE":
            raise Refused("ServiceNotFoundException", "Service not found.")
        return {"service": service_of(service, tags=True)}

    def describe(self, call: Call) -> Mapping[str, Any]:
        """Describe up to ten."""
        cluster, tags = find.cluster_name(call), "TAGS" in call.params.get("include", [])
        wanted = call.params["services"]
        if not wanted:
            raise invalid("Services cannot be empty.")
        if len(wanted) > 10:
            raise invalid("Too many services to describe: at most 10.")
        found: dict[str, list[Any]] = {"services": [], "failures": []}
        for reference in wanted:
            arn = find.service_arn(call, cluster, reference)
            if service := self._fleet.services.get(arn):
                found["services"].append(service_of(service, tags=tags))
            else:
                found["failures"].append(find.missing(arn))
        return found

    def list(self, call: Call) -> Mapping[str, Any]:
        """List the ACTIVE ones of a cluster: a service that drains is no longer shown."""
        cluster = find.cluster_name(call)
        place = (call.region, cluster)
        services = [s for s in self._fleet.services.values() if (s.region, s.cluster) == place and s.status == "ACTIVE"]
        return find.page(call, "serviceArns", [service.arn for service in services])

    def _revision(self, call: Call, service: Service, task_definition: str, current: Mapping[str, Any]) -> Revision:
        """Return what the service would be made of: what it is, and what the call changes."""
        given = {name: call.params[name] for name in _REVISIONED if name in call.params}
        settings = {"networkConfiguration": None, "serviceRegistries": [], "loadBalancers": []} | dict(current) | given
        if "networkConfiguration" in given or not current:
            settings["networkConfiguration"] = placement.checked(call, settings["networkConfiguration"])
        if "serviceRegistries" in given:
            _check_registries(call, find.definition(call, task_definition), settings["serviceRegistries"])
        arn = service.child_arn("service-revision", new_number())
        return Revision(arn, self._world.now(), task_definition, settings)


def _usable_definition(call: Call) -> Any:
    if not call.params.get("taskDefinition"):
        raise invalid("TaskDefinition can not be blank.")
    definition = find.definition(call, call.params["taskDefinition"])
    if definition.status != "ACTIVE":
        raise client_error("TaskDefinition is inactive")
    return definition


def _desired(params: Mapping[str, Any]) -> int:
    desired = params.get("desiredCount")
    if desired is None:
        raise invalid("The desired count is required for the REPLICA scheduling strategy.")
    if desired < 0:
        raise invalid("The desired count can not be negative.")
    return int(desired)


def _configuration(current: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the deployment configuration with what is given over what is, over the defaults of a rolling update."""
    merged = {**_DEPLOYMENT, **current, **(given or {})}
    breaker = {"enable": False, "rollback": False} | (merged.get("deploymentCircuitBreaker") or {})
    merged["deploymentCircuitBreaker"] = breaker
    if merged["maximumPercent"] < 100 and merged["minimumHealthyPercent"] >= merged["maximumPercent"]:
        raise invalid("MaximumPercent and MinimumHealthyPercent can not both be below or equal to 100")
    if not 0 <= merged["minimumHealthyPercent"] <= 100:
        raise invalid("minimumHealthyPercent must be between 0 and 100.")
    return merged


def _check_strategy(params: Mapping[str, Any]) -> None:
    """Refuse what is real in AWS and not here, rather than pretend."""
    strategy = (params.get("deploymentConfiguration") or {}).get("strategy", "ROLLING")
    controller = (params.get("deploymentController") or {}).get("type", "ECS")
    if strategy != "ROLLING" or controller != "ECS" or params.get("schedulingStrategy", "REPLICA") != "REPLICA":
        raise Refused(
            "UnsupportedFeatureException", f"The embedded AWS has rolling updates of replicas only: {strategy}"
        )
    if params.get("launchType", "FARGATE") != "FARGATE":
        raise invalid("No Container Instances were found in your cluster.")
    if params.get("loadBalancers"):
        raise Refused("UnsupportedFeatureException", "The embedded AWS has no load balancers in front of services")


def _check_registries(call: Call, definition: Any, registries: list[Mapping[str, Any]]) -> None:
    """Check the Cloud Map service, and that SRV records get a port (API reference, ServiceRegistry)."""
    backend = servicediscovery_backends[call.account][call.region]
    if len(registries) > 1:
        raise invalid("Only one service registry can be specified.")
    for entry in registries:
        found = backend.services.get(entry.get("registryArn", "").rsplit("/", 1)[-1])
        if found is None or found.arn != entry["registryArn"]:
            raise invalid(f"Service registry {entry.get('registryArn')} not found.")
        has_container = "containerName" in entry and "containerPort" in entry
        records = (found.dns_config or {}).get("DnsRecords", [])
        if any(record["Type"] == "SRV" for record in records) and has_container == ("port" in entry):
            raise invalid(
                "When using awsvpc and SRV records, specify either containerName and containerPort, or port, not both."
            )
        ports = {
            (container["name"], mapping["containerPort"])
            for container in definition.container_definitions
            for mapping in container["portMappings"]
        }
        if has_container and (entry["containerName"], entry["containerPort"]) not in ports:
            raise invalid(
                f"The container {entry['containerName']} does not exist in the task definition, "
                f"or does not map port {entry['containerPort']}."
            )
