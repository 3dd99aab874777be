"""The only access to AWS: sessions, rate limits, retries, error mapping. No other room imports boto3."""

from controller.aws.aws_client import AwsClient
from controller.aws.calls import AwsCall, CallCounter, Hook
from controller.aws.rate_limits import RateLimiter
from controller.aws.session import AssumeRole, connect
from controller.aws.streaming_body import ResponseBody

__all__ = ["AssumeRole", "AwsCall", "AwsClient", "CallCounter", "Hook", "RateLimiter", "ResponseBody", "connect"]
