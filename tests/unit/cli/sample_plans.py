"""Sample plans for the rendering tests, with every kind of step, change and refusal."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

from controller.core.diff import Change
from controller.core.graph import Node
from controller.core.plan import Action, Plan, Refusal, Step
from controller.core.spec_context import AwsLocation, SpecContext
from controller.core.values import ABSENT, UNKNOWN, Blob, Key
from controller.cost.estimate import CostEstimate, EstimateLine
from controller.planning.plan_document import PlanDocument, build_document
from controller.spec.models import Environment

ENVIRONMENT = Key("default", "Environment", "default")
MODEL = Key("default", "ModelService", "housing-model")
ARN = "arn:aws:ecs:us-east-1:123456789012:task-definition/moorage-housing-model-ecad5358:7"
RULE = {"protocol": "tcp", "from": 8080, "to": 8080, "source": "sg-1"}
AWS_STATE = {"protocol": "tcp", "from": 22, "to": 22, "source": "0.0.0.0/0"}
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Sid": "ReadData", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::data/datasets/*"}
    ],
}


def node(kind: str, name: str = "housing-model") -> Node:
    return Node(Key("default", kind, name), {})


STEPS = {
    "create": Step(
        Action.CREATE,
        node("s3/object", "housing-model/train"),
        MODEL,
        (
            Change("body", ABSENT, Blob("ab" * 32, 1_234_567, lambda: b"")),
            Change("key", ABSENT, "datasets/" + "x" * 120),
            Change("policy", ABSENT, {}),
            Change("tags", ABSENT, {"moorage:owner": "ModelService/housing-model", "team": "pricing"}),
        ),
    ),
    "train": Step(
        Action.REVISE,
        node("sagemaker/training-job"),
        MODEL,
        (Change("hyperparameters.max_depth", "6", "5"), Change("role", "arn:aws:iam::1:role/a", UNKNOWN)),
        "trains a model",
        forces=("hyperparameters.max_depth",),
    ),
    "revise": Step(
        Action.REVISE,
        node("ecs/task-definition"),
        MODEL,
        (
            Change("containerDefinitions.server.environment.DB_PASSWORD", "hunter2", "hunter3"),
            Change("containerDefinitions.server.environment.LOG_LEVEL", ABSENT, "info"),
            Change("cpu", "256", "512"),
        ),
    ),
    "update": Step(Action.UPDATE, node("ecs/service"), MODEL, (Change("taskDefinition", ARN, UNKNOWN),)),
    "rules": Step(
        Action.UPDATE,
        node("ec2/security-group"),
        MODEL,
        (Change("ingress", [RULE, RULE | {"to": 9}, AWS_STATE], [RULE]),),
    ),
    "policy": Step(
        Action.UPDATE,
        node("iam/role", "housing-model/training"),
        MODEL,
        (
            Change("policies.moorage", POLICY, {**POLICY, "Statement": [POLICY["Statement"][0] | {"Effect": "Deny"}]}),
            Change("description", "made by\nMoorage\u202e", None),
        ),
    ),
    "replace": Step(
        Action.REPLACE,
        node("apigatewayv2/vpc-link", "/"),
        ENVIRONMENT,
        (Change("subnets", ["subnet-1"], ["subnet-1", "subnet-2"]),),
        forces=("subnets",),
    ),
    "adopt": Step(
        Action.ADOPT, node("ecr/repository"), MODEL, (Change("tags.moorage:owner", "somebody", "ModelService/m"),)
    ),
    "delete": Step(Action.DELETE, node("apigatewayv2/route", "housing-model/GET /livez"), MODEL, (), "superseded"),
    "later": Step(Action.UPDATE, node("ecs/service"), MODEL, (Change("taskDefinition", UNKNOWN, UNKNOWN),), later=True),
    "drifted": Step(Action.UPDATE, node("logs/log-group"), MODEL, (Change("retention", 1, 30),), held="Drifted"),
}
REFUSAL = Refusal(
    node("ecs/cluster", "/"),
    ENVIRONMENT,
    "it exists already and belongs to ModelService/other of environment prod",
    "rename the spec, or remove that one first",
)
PLAN_LOCATION = SpecContext(Environment.default(), None, AwsLocation("123456789012", "us-east-1"))


COST = CostEstimate(
    "us-east-1",
    1_000_000,
    EstimateLine("training run", "ml.m5.large, 3m as the last one was billed", Decimal("0.00575"), date(2026, 8, 11)),
    (
        EstimateLine("Fargate", "1 task of 0.25 vCPU and 1 GB, amd64", Decimal("10.63"), date(2026, 9, 29)),
        EstimateLine("HTTP API", "1,000,000 requests", None),
    ),
    (EstimateLine("hosted zone", "the Cloud Map namespace's", Decimal("0.5"), date(2026, 9, 20)),),
    (EstimateLine("serverless endpoint", "1 GB, 1,000,000 requests of 50 ms", Decimal(1), date(2026, 9, 9)),),
    Decimal(10),
)


def sample_plan(*steps: Step, refusals: tuple[Refusal, ...] = (), costs: bool = False) -> PlanDocument:
    return build_document(
        [([PLAN_LOCATION], Plan(steps, refusals))], costs={MODEL: COST} if costs else {}, commit="c0ffee"
    )


DOCUMENTS = {
    "nothing": sample_plan(),
    "everything": sample_plan(*STEPS.values(), refusals=(REFUSAL,)),
    "refused": sample_plan(refusals=(REFUSAL,)),
    "suspended": sample_plan(*(replace(STEPS[name], held="Suspended") for name in ("train", "update", "delete"))),
    "later": sample_plan(STEPS["train"], STEPS["later"]),
    "over-budget": sample_plan(*(replace(STEPS[name], held="OverBudget") for name in ("train", "update")), costs=True),
    **{f"only {name}": sample_plan(step) for name, step in STEPS.items()},
}
