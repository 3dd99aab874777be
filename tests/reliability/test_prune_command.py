"""What `reconcile --once --prune` may delete: never on the word of a source that can't be read, never too
much at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli_workspace import CliWorkspace
from tests.demo import MODEL, Model, rows

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
NAMES = ("one", "two", "three")
QUICK = {"MOORAGE_LOCAL_RUNNER": "noop", "MOORAGE_LOCAL_VPC_LINK_SECONDS": "0.1"}


class ModelFiles(CliWorkspace):
    """A file for each model."""

    def write_only(self, *names: str) -> None:
        """Leave exactly these models' files."""
        specs = self.directory / "specs"
        specs.mkdir(exist_ok=True)
        for name in NAMES:
            (specs / f"{name}.yaml").unlink(missing_ok=True)
        for name in names:
            (specs / f"{name}.yaml").write_text(MODEL.format(**vars(Model(name=name))))
        (specs / "rows.csv").write_text(rows())

    def served_models(self) -> set[str]:
        """The models that AWS has an API of."""
        apis = self.client("apigatewayv2").get_apis()["Items"]
        return {api["Tags"]["moorage:owner"].removeprefix("ModelService/") for api in apis}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelFiles]:
    """Three models, reconciled."""
    team = ModelFiles(tmp_path_factory.mktemp("team"), variables=QUICK)
    team.write_only(*NAMES)
    try:
        first = team.reconcile()
        assert first.code == 0, first.err
        assert team.served_models() == set(NAMES)
        yield team
    finally:
        team.stop_embedded_aws()


def test_a_source_that_cannot_be_read_prunes_nothing(workspace: ModelFiles) -> None:
    """An empty directory, none at all, and a file that can't be understood: exit 2, and every model is still served."""
    workspace.write_only()
    assert workspace.reconcile("--prune").code == 2
    assert workspace.moorage("reconcile", "--once", "-f", "nowhere", "--prune").code == 2
    workspace.write_only("one", "two")
    (workspace.directory / "specs/three.yaml").write_text("kind: ModelService\nmetadata: [")
    assert workspace.reconcile("--prune").code == 2
    assert workspace.served_models() == set(NAMES)


def test_prune_above_the_limit_deletes_nothing(workspace: ModelFiles) -> None:
    """Two of three are more than a fifth: exit 5, both are named, and not one is deleted."""
    workspace.write_only("one")
    refused = workspace.reconcile("--prune")
    assert refused.code == 5
    assert "--max-prune" in refused.err
    assert "three" in refused.err
    assert "two" in refused.err
    assert workspace.served_models() == set(NAMES)


def test_prune_flag_is_required_and_one_model_may_always_go(workspace: ModelFiles) -> None:
    """A removed file by itself deletes nothing; with --prune it does, though one of three is more than a fifth."""
    workspace.write_only("one", "two")
    assert workspace.reconcile().code == 0
    assert workspace.served_models() == set(NAMES)
    pruned = workspace.reconcile("--prune")
    assert pruned.code == 0, pruned.err
    assert pruned.json["steps"]["delete"] > 10
    assert workspace.served_models() == {"one", "two"}
    assert workspace.reconcile("--prune").json["steps"] == {}


def test_prune_limit_of_one_allows_everything(workspace: ModelFiles) -> None:
    """With an Environment left to be read, and a share of all allowed, all models go."""
    workspace.write_only()
    environment = "apiVersion: moorage/v1alpha1\nkind: Environment\nmetadata: {name: default}\n"
    (workspace.directory / "specs/environment.yaml").write_text(environment)
    pruned = workspace.reconcile("--prune", "--max-prune", "100%")
    assert pruned.code == 0, pruned.err
    assert workspace.served_models() == set()
