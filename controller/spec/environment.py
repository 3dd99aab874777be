"""The kind `Environment`: what the models of one account and region share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from controller.spec.findings import finding_error
from controller.spec.strict import API_VERSION, Items, Metadata, RoleArn, StrictModel


class Network(StrictModel):
    """Where tasks run. Left out: the default VPC's subnets and a security group made for the environment."""

    subnets: Items[Annotated[str, Field(pattern=r"^subnet-[0-9a-f]+$")]] = ()
    """Subnet ids, all of one VPC; empty: every subnet of the default VPC."""
    security_groups: Items[Annotated[str, Field(pattern=r"^sg-[0-9a-f]+$")]] = ()
    """Security groups of the tasks; empty: one is made that admits only the environment's VPC link."""
    assign_public_ip: bool = False
    """Whether tasks get a public address; needed in public subnets, where no NAT leads to ECR."""


class Edge(StrictModel):
    """How the API reaches the tasks."""

    type: Literal["cloudMap"] = "cloudMap"
    """`cloudMap`: through a VPC link to addresses registered in Cloud Map; no hourly cost."""
    vpc_link: Annotated[str, Field(pattern=r"^[a-z0-9]{1,40}$")] | None = None
    """Id of an existing VPC link to go through; it is left as it is. Left out: one is made."""


class EnvironmentPolicy(StrictModel):
    """How far the controller may go with what the models share."""

    adopt: bool = False
    """Take over what exists under this document's names, as the cluster; false: refuse it, and name its owner."""


class EnvironmentSpec(StrictModel):
    """One account, one region, and what its models share."""

    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")] = "us-east-1"
    """AWS region."""
    account: Annotated[str, Field(pattern=r"^[0-9]{12}$")] | None = None
    """Account id, in quotes; checked against the credentials before anything else."""
    assume_role: RoleArn | None = None
    """Role to assume for every call."""
    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")] | None = None
    """Bucket for data, artifacts and state; left out: one is made, named by account and region."""
    cluster: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,255}$")] = "models"
    """Name of the ECS cluster."""
    network: Network = Network()
    """Where tasks run."""
    edge: Edge = Edge()
    """How the API reaches the tasks."""
    policy: EnvironmentPolicy = EnvironmentPolicy()
    """How far the controller may go with what the models share."""

    @model_validator(mode="after")
    def _check_vpc_link(self) -> EnvironmentSpec:
        if self.edge.vpc_link and not self.network.security_groups:
            hint = "name the groups that let it in as 'network.securityGroups'"
            raise finding_error("a vpcLink of your own needs securityGroups of your own", hint, "edge", "vpcLink")
        return self

    @model_validator(mode="after")
    def _check_account(self) -> EnvironmentSpec:
        if self.assume_role and self.account and self.assume_role.split(":")[4] != self.account:
            raise finding_error("assumeRole belongs to another account than 'account' says", "", "assumeRole")
        return self


class Environment(StrictModel):
    """What models share: account, region, artifact bucket, ECS cluster, network, and the edge."""

    api_version: Literal["moorage/v1alpha1"]
    """Always `moorage/v1alpha1`."""
    kind: Literal["Environment"]
    """Always `Environment`."""
    metadata: Metadata
    """What identifies the document."""
    spec: EnvironmentSpec = EnvironmentSpec()
    """The desired state."""

    @property
    def name(self) -> str:
        """The document's name."""
        return self.metadata.name

    @classmethod
    def default(cls) -> Environment:
        """Make what `environment: default` means when no document says it."""
        return cls(api_version=API_VERSION, kind="Environment", metadata=Metadata(name="default"))
