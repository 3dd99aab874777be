"""Cloud Map: refused duplicates and deletions, instances, health, filters."""

from __future__ import annotations

import itertools

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

SRV = {"DnsConfig": {"DnsRecords": [{"Type": "SRV", "TTL": 10}]}, "HealthCheckCustomConfig": {"FailureThreshold": 1}}
HERE = {"AWS_INSTANCE_IPV4": "127.0.0.1", "AWS_INSTANCE_PORT": "8080"}
numbers = itertools.count()


@pytest.fixture(scope="module")
def cloud_map(embedded_aws):
    return embedded_aws.client("servicediscovery")


@pytest.fixture(scope="module")
def vpc(embedded_aws) -> str:
    return embedded_aws.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]


@pytest.fixture
def namespace(cloud_map, vpc) -> dict[str, str]:
    operation = cloud_map.create_private_dns_namespace(Name=f"n{next(numbers)}.internal", Vpc=vpc)["OperationId"]
    done = cloud_map.get_operation(OperationId=operation)["Operation"]
    assert (done["Status"], done["Type"]) == ("SUCCESS", "CREATE_NAMESPACE")
    return cloud_map.get_namespace(Id=done["Targets"]["NAMESPACE"])["Namespace"]


@pytest.fixture
def service(cloud_map, namespace) -> dict[str, str]:
    return cloud_map.create_service(Name="housing", NamespaceId=namespace["Id"], **SRV)["Service"]


def refused(call, **arguments) -> dict:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response


def code(call, **arguments) -> str:
    return refused(call, **arguments)["Error"]["Code"]


def test_a_namespace_is_made_once(cloud_map, vpc, namespace) -> None:
    """A second namespace is refused with the first one's id. The same CreatorRequestId is the same request."""
    answer = refused(cloud_map.create_private_dns_namespace, Name=namespace["Name"], Vpc=vpc)
    assert (answer["Error"]["Code"], answer["NamespaceId"]) == ("NamespaceAlreadyExists", namespace["Id"])
    first = cloud_map.create_http_namespace(Name="http", CreatorRequestId="once")["OperationId"]
    assert cloud_map.create_http_namespace(Name="http", CreatorRequestId="once")["OperationId"] == first
    assert code(cloud_map.create_http_namespace, Name="http", CreatorRequestId="twice") == "NamespaceAlreadyExists"
    assert code(cloud_map.create_private_dns_namespace, Name="other", Vpc="vpc-12345678") == "InvalidInput"


def test_a_vpc_takes_several_namespaces(cloud_map, vpc, namespace) -> None:
    """Plain moto would refuse a second private namespace in a VPC, whatever its name."""
    cloud_map.create_private_dns_namespace(Name=f"second-{namespace['Name']}", Vpc=vpc)


def test_a_name_used_again_gets_another_http_name(embedded_aws, cloud_map, namespace) -> None:
    """The same private name in another VPC is another namespace. DiscoverInstances distinguishes them by HttpName."""
    other = embedded_aws.client("ec2").create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    cloud_map.create_private_dns_namespace(Name=namespace["Name"], Vpc=other)
    filters = [{"Name": "NAME", "Values": [namespace["Name"]], "Condition": "EQ"}]
    found = cloud_map.list_namespaces(Filters=filters)["Namespaces"]
    names = [item["Properties"]["HttpProperties"]["HttpName"] for item in found]
    assert names[0] == namespace["Name"]
    assert len(set(names)) == 2


def test_namespaces_are_filtered_and_paged(cloud_map, namespace) -> None:
    """Filters by type and name are combined, and a page's token leads to the next page."""
    for number in range(3):
        cloud_map.create_http_namespace(Name=f"page-{number}")
    by_type = {"Name": "TYPE", "Values": ["HTTP"], "Condition": "EQ"}
    by_name = {"Name": "NAME", "Values": ["page-"], "Condition": "BEGINS_WITH"}
    first = cloud_map.list_namespaces(Filters=[by_type, by_name], MaxResults=2)
    rest = cloud_map.list_namespaces(Filters=[by_type, by_name], MaxResults=2, NextToken=first["NextToken"])
    assert [item["Name"] for item in first["Namespaces"] + rest["Namespaces"]] == ["page-0", "page-1", "page-2"]
    assert "NextToken" not in rest
    assert code(cloud_map.list_namespaces, Filters=[{"Name": "NAME", "Values": ["a", "b"]}]) == "InvalidInput"


def test_a_service_is_made_once(cloud_map, namespace, service) -> None:
    """A second service of the name in the namespace is refused with the first one's id and ARN."""
    answer = refused(cloud_map.create_service, Name="housing", NamespaceId=namespace["Id"], **SRV)
    assert answer["Error"]["Code"] == "ServiceAlreadyExists"
    assert (answer["ServiceId"], answer["ServiceArn"]) == (service["Id"], service["Arn"])
    assert code(cloud_map.create_service, Name="x", NamespaceId="ns-nosuchnamespace") == "NamespaceNotFound"


def test_a_service_keeps_its_configuration(cloud_map, namespace, service) -> None:
    """SRV records, routing policy, custom health check and namespace are returned, and the list can be filtered."""
    found = cloud_map.get_service(Id=service["Id"])["Service"]
    assert found["DnsConfig"] == {
        "NamespaceId": namespace["Id"],
        "RoutingPolicy": "MULTIVALUE",
        "DnsRecords": [{"Type": "SRV", "TTL": 10}],
    }
    assert found["HealthCheckCustomConfig"] == {"FailureThreshold": 1}
    filters = [{"Name": "NAMESPACE_ID", "Values": [namespace["Id"]]}]
    assert [item["Id"] for item in cloud_map.list_services(Filters=filters)["Services"]] == [service["Id"]]
    assert cloud_map.get_namespace(Id=namespace["Id"])["Namespace"]["ServiceCount"] == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"DnsConfig": {"DnsRecords": [{"Type": "SRV", "TTL": 1}, {"Type": "A", "TTL": 1}]}},
        {"DnsConfig": {"DnsRecords": [{"Type": "CNAME", "TTL": 1}, {"Type": "A", "TTL": 1}]}},
        {"HealthCheckConfig": {"Type": "HTTP"}, "HealthCheckCustomConfig": {}},
        {"HealthCheckConfig": {"Type": "HTTP"}},
        SRV | {"Type": "HTTP"},
    ],
)
def test_invalid_services_are_refused(cloud_map, namespace, settings) -> None:
    """Incompatible record types, two health checks, and DNS in a namespace without it are refused."""
    assert code(cloud_map.create_service, Name="x", NamespaceId=namespace["Id"], **settings) == "InvalidInput"


def test_resources_in_use_are_not_deleted(cloud_map, namespace, service) -> None:
    """A service with instances and a namespace with services can't be deleted."""
    cloud_map.register_instance(ServiceId=service["Id"], InstanceId="task", Attributes=HERE)
    assert code(cloud_map.delete_service, Id=service["Id"]) == "ResourceInUse"
    assert code(cloud_map.delete_namespace, Id=namespace["Id"]) == "ResourceInUse"
    cloud_map.deregister_instance(ServiceId=service["Id"], InstanceId="task")
    cloud_map.delete_service(Id=service["Id"])
    cloud_map.delete_namespace(Id=namespace["Id"])
    assert code(cloud_map.delete_service, Id=service["Id"]) == "ServiceNotFound"
    assert code(cloud_map.get_namespace, Id=namespace["Id"]) == "NamespaceNotFound"


def test_an_instance_is_updated_not_duplicated(cloud_map, service) -> None:
    """Registering an id again replaces its attributes. SRV records need a port."""
    for port in ("8080", "8081"):
        cloud_map.register_instance(
            ServiceId=service["Id"], InstanceId="task", Attributes=HERE | {"AWS_INSTANCE_PORT": port}
        )
    listed = cloud_map.list_instances(ServiceId=service["Id"])["Instances"]
    assert [(item["Id"], item["Attributes"]["AWS_INSTANCE_PORT"]) for item in listed] == [("task", "8081")]
    without_port = {"AWS_INSTANCE_IPV4": "127.0.0.1"}
    assert (
        code(cloud_map.register_instance, ServiceId=service["Id"], InstanceId="x", Attributes=without_port)
        == "InvalidInput"
    )


def test_discovery_follows_health(cloud_map, namespace, service) -> None:
    """Discovery returns healthy instances by default, all of them when none is healthy; attributes narrow the result.

    Custom health can be set only where the service is configured for it.
    """
    for name in ("one", "two"):
        attributes = HERE | {"color": name, "AWS_INIT_HEALTH_STATUS": "UNHEALTHY"}
        cloud_map.register_instance(ServiceId=service["Id"], InstanceId=name, Attributes=attributes)

    def discovered(**how) -> set[str]:
        answer = cloud_map.discover_instances(NamespaceName=namespace["Name"], ServiceName="housing", **how)
        return {item["InstanceId"] for item in answer["Instances"]}

    assert discovered() == {"one", "two"}
    assert discovered(HealthStatus="HEALTHY") == set()
    cloud_map.update_instance_custom_health_status(ServiceId=service["Id"], InstanceId="one", Status="HEALTHY")
    assert discovered() == {"one"}
    assert discovered(HealthStatus="ALL", QueryParameters={"color": "two"}) == {"two"}
    plain = cloud_map.create_service(Name="plain", NamespaceId=namespace["Id"])["Service"]["Id"]
    cloud_map.register_instance(ServiceId=plain, InstanceId="one", Attributes=HERE)
    arguments = {"ServiceId": plain, "InstanceId": "one", "Status": "HEALTHY"}
    assert code(cloud_map.update_instance_custom_health_status, **arguments) == "CustomHealthNotFound"


def test_only_existing_resources_can_be_tagged(cloud_map, namespace, service) -> None:
    """Namespaces and services can be tagged. Resources that don't exist can't."""
    for arn in (namespace["Arn"], service["Arn"]):
        cloud_map.tag_resource(ResourceARN=arn, Tags=[{"Key": "owner", "Value": "moorage"}])
        assert cloud_map.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "owner", "Value": "moorage"}]
    missing = service["Arn"] + "x"
    assert (
        code(cloud_map.tag_resource, ResourceARN=missing, Tags=[{"Key": "a", "Value": "b"}])
        == "ResourceNotFoundException"
    )


def test_the_host_prefix_is_accepted(embedded_aws, namespace, service) -> None:
    """A client that keeps the `data-` host prefix is answered, where the name resolves."""
    port = embedded_aws.endpoint.rpartition(":")[2]
    settings = Config(retries={"total_max_attempts": 1}, inject_host_prefix=False, proxies={})
    client = embedded_aws.session.client("servicediscovery", endpoint_url=f"http://localhost:{port}", config=settings)

    def prefix(request, **_) -> None:
        request.headers["Host"] = "data-localhost"

    client.meta.events.register("before-send.servicediscovery", prefix)
    assert client.discover_instances(NamespaceName=namespace["Name"], ServiceName="housing")["Instances"] == []
