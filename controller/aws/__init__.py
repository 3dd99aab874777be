"""The only door to AWS: sessions, rate budgets, retries, the mapping of errors. Nothing else imports boto3."""

from controller.aws.body import Body
from controller.aws.budget import Budgets
from controller.aws.calls import Call, Calls, Hook
from controller.aws.door import Aws
from controller.aws.session import AssumeRole, connect

__all__ = ["AssumeRole", "Aws", "Body", "Budgets", "Call", "Calls", "Hook", "connect"]
