"""`moorage doctor`: check the prerequisites, and name the next step for each one that is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from rich.text import Text

from controller.aws.s3_object_storage import S3ObjectStorage
from controller.aws.server_date import ClockSkewHook
from controller.cli.get import Environments
from controller.cli.options import BackendOptions, FileOptions, Output
from controller.cli.output import console
from controller.cli.output.columns import Cell, align_columns
from controller.core.spec_context import AwsLocation, SpecContext
from controller.environments.factory import open_aws_client
from controller.errors import MoorageError, SpecError
from controller.operations.doctor import CheckResult, DoctorContext, credentials, run_checks
from controller.resources.base import ResourceContext, discover_resources
from controller.sources import snapshots
from controller.spec.load import load_specs
from controller.spec.loaded import Specs
from controller.spec.models import ModelService

_STYLES = {"ok": "green", "warning": "yellow", "failed": "red", "unknown": "dim"}


def doctor(
    *,
    environment: Environments = "default",
    files: FileOptions = FileOptions(),
    place: BackendOptions = BackendOptions(),
    form: Output = "table",
) -> int:
    """Check source, credentials, clock, permissions, state, quotas and network, without changing anything.

    Return 2 if the source failed, 3 if the credentials did, 4 for any other failed check, else 0, also with warnings.
    """
    results = list(_findings(environment, files, place))
    console.print_result(
        form,
        table=lambda _: table(results),
        data=lambda: [asdict(finding) for finding in results],
        names=[finding.check for finding in results if finding.state == "failed"],
    )
    failed = {finding.check for finding in results if finding.state == "failed"}
    return next((code for check, code in (("source", 2), ("credentials", 3)) if check in failed), 4 if failed else 0)


def table(results: Sequence[CheckResult]) -> Text:
    """Render one line for each finding."""
    rows: list[Sequence[Cell]] = [("CHECK", "STATE", "FOUND", "WHAT TO DO")]
    rows += [(f.check, Text(f.state, _STYLES[f.state]), f.message, f.hint) for f in results]
    return align_columns(rows)


def _findings(environment: str, files: FileOptions, place: BackendOptions) -> Iterator[CheckResult]:
    try:
        specs = load_specs(files.file)
        snapshots.read_data(specs)
        yield CheckResult("source", "ok", f"{len(specs.documents)} documents and their data are valid")
    except SpecError as error:
        first, *more = error.problems
        message = str(first).split("\n", 1)[0] + (f" and {len(more)} more" if more else "")
        yield CheckResult("source", "failed", message, "moorage validate shows every problem")
        return
    clock = ClockSkewHook(lambda: datetime.now(UTC))
    try:
        aws = open_aws_client(files.file, environment, home=place.home, local=place.local).with_hooks(clock)
    except MoorageError as error:
        yield CheckResult("credentials", "failed", error.what, error.hint)
        return
    identity = credentials(aws)
    yield identity
    if identity.state == "ok":
        context = SpecContext(
            specs.get_environment(environment), None, AwsLocation(aws.account, aws.region, aws.partition)
        )
        yield from run_checks(
            DoctorContext(
                aws,
                clock,
                context,
                _services(specs, environment),
                discover_resources(ResourceContext(place.home / "cache")),
                None if place.local else S3ObjectStorage(aws, context.bucket_name),
            )
        )


def _services(specs: Specs, environment: str) -> list[ModelService]:
    declared = (service.model for service in specs.services.values())
    return [service for service in declared if service.spec.environment == environment]
