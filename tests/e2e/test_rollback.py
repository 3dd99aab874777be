"""Back to the model that served before, through the command line, by an edit of the spec."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controller.cli import run
from controller.resources.base import ResourceContext, discover_resources
from tests.conftest import EmbeddedAws
from tests.demo import ENVIRONMENT, MODEL, Demo, EmbeddedClients

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def demo(idle_aws: EmbeddedAws, resource_context: ResourceContext, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo after two models and a change of CPU: revisions 1 to 3 serve versions 1, 2 and 2."""
    idle_aws.call_admin_endpoint("reset", "POST")
    demo = Demo(
        EmbeddedClients(idle_aws.endpoint), discover_resources(resource_context), tmp_path_factory.mktemp("specs")
    )
    for change in ({}, {"depth": 3}, {"service": "{cpu: 0.5 vCPU, memory: 1 GB}"}):
        demo.models = (replace(demo.models[0], **change),)
        demo.reconcile_until_settled()
    return demo


@pytest.fixture
def spec(demo: Demo) -> Path:
    """The demo's specs as a file."""
    file = demo.directory / "specs.yaml"
    texts = [
        ENVIRONMENT.format(name="default", labels="{}", settings=demo.settings),
        *(MODEL.format(**vars(model)) for model in demo.models),
    ]
    file.write_text("---".join(texts))
    return file


def rollback(idle_aws: EmbeddedAws, spec: Path, *more: str) -> int:
    return run(["rollback", "housing-model", "-f", str(spec), "--local", "--home", str(idle_aws.home), *more])


def test_rollback_edits_one_line_and_shows_the_diff(
    demo: Demo, idle_aws: EmbeddedAws, spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last revision with another model gives the version; one line of the file changes, and is shown as a diff."""
    before = spec.read_text()
    assert rollback(idle_aws, spec, "--dry-run") == 0
    assert spec.read_text() == before
    assert rollback(idle_aws, spec) == 0
    shown = capsys.readouterr()
    assert "version 1 served in revision 1" in shown.err
    assert "+  model: {version: 1, gates:" in shown.out
    assert spec.read_text() == before.replace("model: {gates", "model: {version: 1, gates")


def test_requested_revision_must_have_served(
    demo: Demo, idle_aws: EmbeddedAws, spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A named revision decides; one that never was, and a version that is rejected by now, end 6 and leave the file."""
    assert rollback(idle_aws, spec, "--to-revision", "3") == 0
    assert "version: 2" in spec.read_text()
    before = spec.read_text()
    assert rollback(idle_aws, spec, "--to-revision", "9") == 6
    assert "revisions: 1, 2, 3" in capsys.readouterr().err
    (first,) = [
        package["ModelPackageArn"]
        for group in idle_aws.client("sagemaker").list_model_package_groups()["ModelPackageGroupSummaryList"]
        for package in idle_aws.client("sagemaker").list_model_packages(
            ModelPackageGroupName=group["ModelPackageGroupName"]
        )["ModelPackageSummaryList"]
        if package["ModelPackageVersion"] == 1
    ]
    idle_aws.client("sagemaker").update_model_package(ModelPackageArn=first, ModelApprovalStatus="Rejected")
    assert rollback(idle_aws, spec) == 6
    assert "version 1, which is Rejected" in capsys.readouterr().err
    assert spec.read_text() == before


def test_garbage_collected_revision_is_refused(
    idle_aws: EmbeddedAws, resource_context: ResourceContext, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A revision beyond `policy.history` and a version without its bundle end 6, and the file stays as it is."""
    idle_aws.call_admin_endpoint("reset", "POST")
    demo = Demo(EmbeddedClients(idle_aws.endpoint), discover_resources(resource_context), tmp_path)
    for change in ({"policy": "{history: 1}"}, {"depth": 3}, {"depth": 4}):
        demo.models = (replace(demo.models[0], **change),)
        demo.reconcile_until_settled()
    file = tmp_path / "specs.yaml"
    texts = [
        ENVIRONMENT.format(name="default", labels="{}", settings=demo.settings),
        *(MODEL.format(**vars(model)) for model in demo.models),
    ]
    file.write_text("---".join(texts))
    assert rollback(idle_aws, file, "--to-revision", "1") == 6
    reported = capsys.readouterr().err
    assert "revision 1 is gone" in reported
    assert "revisions: 2, 3; what it served" in reported
    records = demo.store.list_records("default")
    _, bundle, _ = (record.outputs["url"] for record in records if record.key.kind == "model/bundle")
    bucket, _, prefix = bundle.removeprefix("s3://").partition("/")
    idle_aws.client("s3").delete_object(Bucket=bucket, Key=f"{prefix}manifest.json")
    assert rollback(idle_aws, file, "--to-revision", "2") == 6
    assert "the bundle of version 2 is gone" in capsys.readouterr().err
    assert file.read_text() == "---".join(texts)
