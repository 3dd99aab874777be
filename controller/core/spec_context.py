"""A spec with the facts that its expansion needs: its location in AWS and the digests of its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.core.naming import physical_name
from controller.core.ownership import build_tags
from controller.core.values import Blob, Key, Value, digest
from controller.spec.hyperparameters import to_strings
from controller.spec.models import Data, Environment, ModelService, ModelServiceSpec, Training

SHARED_PREFIX = "/"


@dataclass(frozen=True)
class AwsLocation:
    """The account, Region and partition of an environment."""

    account: str
    region: str
    partition: str = "aws"


@dataclass(frozen=True)
class ResolvedInputs:
    """The inputs of a ModelService, by content.

    `channels` are the training, validation and test rows in SageMaker's format; `data_digest` identifies them with
    their split. `server_digest` identifies the inference server in the image. `commit` and its `author` are the origin
    of the spec, empty outside of Git.
    """

    data_digest: str = ""
    features: tuple[str, ...] = ()
    channels: Mapping[str, Blob] = field(default_factory=dict)
    server_digest: str = ""
    commit: str = ""
    author: str = ""


@dataclass(frozen=True)
class TrainableSpec:
    """A spec that trains a model of its own: its data and its training."""

    spec: ModelServiceSpec
    data: Data
    training: Training


@dataclass(frozen=True)
class SpecContext:
    """One spec to expand.

    `service` is None for the Environment itself; `model_services` then are those that share it.
    """

    environment: Environment
    service: ModelService | None
    location: AwsLocation
    inputs: ResolvedInputs = field(default_factory=ResolvedInputs)
    model_services: tuple[ModelService, ...] = ()

    @property
    def owner(self) -> Key:
        """The spec that the resulting objects belong to."""
        spec = self.service or self.environment
        return Key(self.environment.metadata.name, spec.kind, spec.metadata.name)

    def shared_key(self, kind: str, qualifier: str = "") -> Key:
        """Return the key of an object that all models of the environment share."""
        return Key(self.environment.metadata.name, kind, SHARED_PREFIX + qualifier)

    def own_key(self, kind: str, qualifier: str = "") -> Key:
        """Return the key of an object of this ModelService; `qualifier` distinguishes several of one kind."""
        name = self.owner.name
        return Key(self.environment.metadata.name, kind, f"{name}/{qualifier}" if qualifier else name)

    def tags(self) -> dict[str, str]:
        """Return the tags of every object of this spec."""
        return build_tags(self.owner, (self.service or self.environment).metadata.labels)

    def physical_name(self, *immutable: Value, qualifier: str = "", limit: int = 63) -> str:
        """Return a name for an AWS object of this spec, which depends on its immutable fields."""
        readable = "-".join(word for word in ("moorage", self.owner.name, qualifier) if word)
        return physical_name(
            readable, self.location.account, self.location.region, self.owner, qualifier, *immutable, limit=limit
        )

    @property
    def trainable_spec(self) -> TrainableSpec | None:
        """The spec if it trains a model; None for an Environment and for an imported revision."""
        spec = self.service.spec if self.service else None
        if spec is None or spec.data is None or spec.training is None:
            return None
        return TrainableSpec(spec, spec.data, spec.training)

    @property
    def needs_training_resources(self) -> bool:
        """Whether an Environment needs the objects that training uses: yes, unless all its models are imported."""
        return not self.model_services or any(service.spec.training is not None for service in self.model_services)

    @property
    def needs_vpc_link(self) -> bool:
        """Whether an Environment creates a VPC link: it names none, and a model in it is or may be reached over one."""
        reached = any(service.spec.api is not None for service in self.model_services)
        return self.environment.spec.edge.vpc_link is None and (self.needs_training_resources or reached)

    @property
    def bucket_name(self) -> str:
        """The name of the artifact bucket: the one that the Environment names, or the one that is created for it."""
        named = self.environment.spec.bucket
        readable = f"moorage-{self.location.account}-{self.location.region}"
        name = self.environment.metadata.name
        return named or physical_name(readable, Key(name, self.environment.kind, name), limit=63)

    @property
    def service_name(self) -> str:
        """The name of the ECS service, by which the selection also finds what serves."""
        named = self.service.spec.service.name if self.service else None
        return named or self.physical_name(limit=255)

    @property
    def assigns_public_ip(self) -> bool:
        """Whether each task has a public IP address."""
        network = self.environment.spec.network
        # The default VPC's subnets are public: without a public address a task can't pull its image.
        return network.assign_public_ip or (not network.subnets and "assign_public_ip" not in network.model_fields_set)

    @property
    def spec_digest(self) -> str:
        """The SHA-256 digest, in hex, of what is declared: the spec with its defaults, and the data that it names."""
        spec = (self.service or self.environment).model_dump(mode="json", by_alias=True)
        return digest(spec, self.inputs.data_digest)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 fingerprint, in hex, of a training: equal fingerprints give equal models.

        For an adopted job: its name, target, features and channels. Else it covers data (with split and features),
        algorithm and hyperparameters in SageMaker's spelling; not the instance that trains, nor its role. Raises
        ValueError if no model is trained.
        """
        if self.trainable_spec is None:
            raise ValueError("what trains no model has no fingerprint")
        data, training = self.trainable_spec.data, self.trainable_spec.training
        if training.job is not None:
            channels = data.channels.prefixes_by_name if data.channels else {}
            return digest(training.job, data.target, self.inputs.features, channels)
        return digest(
            self.inputs.data_digest, training.algorithm.name, training.algorithm.version, self.hyperparameters
        )

    @property
    def hyperparameters(self) -> dict[str, str]:
        """The hyperparameters as the training container receives them: all strings."""
        given = self.trainable_spec.training.hyperparameters if self.trainable_spec else {}
        return dict(sorted(to_strings(given).items()))
