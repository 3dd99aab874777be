"""The only door to AWS: sessions, rate budgets, retries, the mapping of errors. Nothing else imports boto3."""

from controller.aws.aws_client import AwsClient
from controller.aws.calls import AwsCall, CallCounter, Hook
from controller.aws.rate_limits import RateLimiter
from controller.aws.session import AssumeRole, connect
from controller.aws.streaming_body import ResponseBody

__all__ = ["AssumeRole", "AwsCall", "AwsClient", "CallCounter", "Hook", "RateLimiter", "ResponseBody", "connect"]
