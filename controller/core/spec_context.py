"""What a spec wants, with the facts that expansion needs: the place it goes to and the digests of its inputs."""

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
    """Where things are made."""

    account: str
    region: str
    partition: str = "aws"


@dataclass(frozen=True)
class ResolvedInputs:
    """What a ModelService brings along, by content.

    `channels` are the training, validation and test rows as SageMaker reads them; `data_digest` identifies them with
    their split; `server_digest` identifies the inference server that goes into the image; `commit` and its `author` are
    where the spec is from, empty outside of Git.
    """

    data_digest: str = ""
    features: tuple[str, ...] = ()
    channels: Mapping[str, Blob] = field(default_factory=dict)
    server_digest: str = ""
    commit: str = ""
    author: str = ""


@dataclass(frozen=True)
class TrainableSpec:
    """A spec whose model is its own: what it learns from, and how."""

    spec: ModelServiceSpec
    data: Data
    training: Training


@dataclass(frozen=True)
class SpecContext:
    """One spec to be expanded. `service` is None when the Environment itself is; then `shared_by` are its ModelServices."""

    environment: Environment
    service: ModelService | None
    location: AwsLocation
    inputs: ResolvedInputs = field(default_factory=ResolvedInputs)
    model_services: tuple[ModelService, ...] = ()

    @property
    def owner(self) -> Key:
        """The spec that what comes of it belongs to."""
        spec = self.service or self.environment
        return Key(self.environment.metadata.name, spec.kind, spec.metadata.name)

    def shared_key(self, kind: str, qualifier: str = "") -> Key:
        """The key of what all models of the environment share."""
        return Key(self.environment.metadata.name, kind, SHARED_PREFIX + qualifier)

    def own_key(self, kind: str, qualifier: str = "") -> Key:
        """The key of what belongs to this ModelService; `part` tells several of one kind apart."""
        name = self.owner.name
        return Key(self.environment.metadata.name, kind, f"{name}/{qualifier}" if qualifier else name)

    def tags(self) -> dict[str, str]:
        """The tags of everything made for this spec."""
        return build_tags(self.owner, (self.service or self.environment).metadata.labels)

    def physical_name(self, *immutable: Value, qualifier: str = "", limit: int = 63) -> str:
        """A name for an AWS object of this spec. `immutable` are fields that can't be changed in place."""
        readable = "-".join(word for word in ("moorage", self.owner.name, qualifier) if word)
        return physical_name(
            readable, self.location.account, self.location.region, self.owner, qualifier, *immutable, limit=limit
        )

    @property
    def trainable_spec(self) -> TrainableSpec | None:
        """The spec, if it has a model of its own; None for an Environment, and for what is served as it was found."""
        spec = self.service.spec if self.service else None
        if spec is None or spec.data is None or spec.training is None:
            return None
        return TrainableSpec(spec, spec.data, spec.training)

    @property
    def needs_training_resources(self) -> bool:
        """Whether an Environment has what models of their own need: unless all that is in it is served as it was found."""
        return not self.model_services or any(service.spec.training is not None for service in self.model_services)

    @property
    def needs_vpc_link(self) -> bool:
        """Whether an Environment has a VPC link made: it names none, and something in it is or may be reached over one."""
        reached = any(service.spec.api is not None for service in self.model_services)
        return self.environment.spec.edge.vpc_link is None and (self.needs_training_resources or reached)

    @property
    def bucket_name(self) -> str:
        """The artifact bucket's name: the Environment's choice, or the one that is made for it."""
        named = self.environment.spec.bucket
        readable = f"moorage-{self.location.account}-{self.location.region}"
        name = self.environment.metadata.name
        return named or physical_name(readable, Key(name, self.environment.kind, name), limit=63)

    @property
    def service_name(self) -> str:
        """The ECS service's name, by which the selection also finds out what serves."""
        named = self.service.spec.service.name if self.service else None
        return named or self.physical_name(limit=255)

    @property
    def assigns_public_ip(self) -> bool:
        """Whether each task has a public address of its own."""
        network = self.environment.spec.network
        # The default VPC's subnets are public: without an address of its own a task couldn't pull its image.
        return network.assign_public_ip or (not network.subnets and "assign_public_ip" not in network.model_fields_set)

    @property
    def spec_digest(self) -> str:
        """Identifies what is declared: the spec, defaults included, and the data it names. Sha256 in hex."""
        spec = (self.service or self.environment).model_dump(mode="json", by_alias=True)
        return digest(spec, self.inputs.data_digest)

    @property
    def fingerprint(self) -> str:
        """Identifies what a training would give: equal fingerprints, equal models. Sha256 in hex.

        Where a job is named that is over, that and what its rows are called. Else it covers data (with its split and features), algorithm and hyperparameters, as SageMaker spells them; not what the
        training runs on, nor who it runs as. Raises ValueError where no model is trained.
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
        """The hyperparameters as the training container gets them: all strings."""
        given = self.trainable_spec.training.hyperparameters if self.trainable_spec else {}
        return dict(sorted(to_strings(given).items()))
