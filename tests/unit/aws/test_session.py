"""Where credentials, regions and endpoints come from: a child process per case, since they come from its
environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

_PROGRAM = """
import json, sys
from controller.aws import AssumeRole, connect
from controller.errors import MoorageError
options = json.loads(sys.argv[1])
if "role" in options:
    options["assume_role"] = AssumeRole(**options.pop("role"))
try:
    aws = connect(**options)
    aws.read("ecs", "list_clusters")
    print(json.dumps({"account": aws.account, "region": aws.region, "partition": aws.partition}))
except MoorageError as error:
    print(json.dumps({"error": type(error).__name__, "text": str(error), "exit": error.exit_code}))
"""


@pytest.fixture
def run_connect(tmp_path):
    """Run `connect(**options)` and one read with nothing in the environment but what is given."""

    def run_program(env: dict[str, str], **options: object) -> dict[str, str]:
        clean = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": str(ROOT),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(tmp_path / "config"),
            **env,
        }
        command = [sys.executable, "-W", "error", "-c", _PROGRAM, json.dumps(options)]
        done = subprocess.run(command, env=clean, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
        found: dict[str, str] = json.loads(done.stdout)
        return found

    return run_program


KEYS = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "secret"}


def test_the_environment_names_endpoint_keys_and_region(run_connect, scripted_server):
    """AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_DEFAULT_REGION, as in every boto3 program."""
    env = {**KEYS, "AWS_ENDPOINT_URL": scripted_server.url, "AWS_DEFAULT_REGION": "eu-west-1"}
    assert run_connect(env) == {"account": "123456789012", "region": "eu-west-1", "partition": "aws"}
    assert "Credential=someone/" in scripted_server.seen("ecs")[0].headers["Authorization"]


def test_a_profile_brings_its_keys_its_region_and_its_endpoint(run_connect, scripted_server, tmp_path):
    """The profile's own settings are used, and an unknown profile is named."""
    (tmp_path / "config").write_text(
        "[profile mine]\naws_access_key_id=profiled\naws_secret_access_key=s\nregion=cn-north-1\n"
        f"endpoint_url={scripted_server.url}\n"
    )
    assert run_connect({}, profile="mine") == {"account": "123456789012", "region": "cn-north-1", "partition": "aws-cn"}
    assert "Credential=profiled/" in scripted_server.seen("ecs")[0].headers["Authorization"]
    missing = run_connect({}, profile="other")
    assert (missing["error"], missing["exit"]) == ("CredentialsError", 3)
    assert "other" in missing["text"]


def test_no_credentials_and_no_region_are_said_so(run_connect, scripted_server):
    """Both are the caller's to set, so both end with exit code 3 and a hint."""
    nobody = run_connect({"AWS_ENDPOINT_URL": scripted_server.url}, region="us-east-1")
    assert nobody["error"] == "CredentialsError"
    nowhere = run_connect(KEYS)
    assert nowhere["error"] == "CredentialsError"
    assert "AWS_DEFAULT_REGION" in nowhere["text"]


_ASSUMED = b"""<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>assumed</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""

_REFUSED = b"""<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>AccessDenied</Code><Message>User x is not authorized to perform: sts:AssumeRole</Message></Error>
</ErrorResponse>"""

ROLE = {"arn": "arn:aws:iam::123456789012:role/moorage", "tags": {"team": "pricing"}, "external_id": "extern"}


def test_a_role_is_assumed_once_with_its_session_tags(run_connect, scripted_server, scripted_answer):
    """One AssumeRole with name, tags and external id; every other call carries the role's key."""
    scripted_server.answers.append(scripted_answer(body=_ASSUMED))
    run_connect({**KEYS, "AWS_ENDPOINT_URL": scripted_server.url}, region="us-east-1", role=ROLE)
    assumed = [request for request in scripted_server.seen("sts") if b"Action=AssumeRole" in request.body]
    assert len(assumed) == 1
    for part in (
        b"RoleSessionName=moorage",
        b"Tags.member.1.Key=team",
        b"Tags.member.1.Value=pricing",
        b"ExternalId=extern",
    ):
        assert part in assumed[0].body
    assert "Credential=assumed/" in scripted_server.seen("ecs")[0].headers["Authorization"]


def test_a_role_that_may_not_be_assumed_is_about_credentials(run_connect, scripted_server, scripted_answer):
    """Exit code 3, the role's refusal in AWS's words."""
    scripted_server.answers.append(scripted_answer(status=403, body=_REFUSED))
    refused = run_connect({**KEYS, "AWS_ENDPOINT_URL": scripted_server.url}, region="us-east-1", role=ROLE)
    assert refused["error"] == "CredentialsError"
    assert "sts:AssumeRole" in refused["text"]


def test_models_are_kept_without_their_documentation() -> None:
    """No text of documentation stays in memory, and a member that is itself called so does."""
    import botocore.session
    from botocore.credentials import Credentials

    from controller.aws.session import SessionClientFactory

    session = botocore.session.Session()
    session._credentials = Credentials("a", "b")
    clients = SessionClientFactory(session, region="us-east-1", endpoint="http://127.0.0.1:1")
    model = clients.client("apigateway").meta.service_model
    assert model.documentation == ""
    assert model.operation_model("GetRestApi").input_shape.members["restApiId"].documentation == ""
    assert "documentationVersion" in model.operation_model("CreateStage").input_shape.members
