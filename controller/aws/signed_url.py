"""Fetch what AWS provides as a signed URL (an image layer): the only plain HTTP requests of the controller."""

from __future__ import annotations

from urllib.parse import urlsplit

from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session
from botocore.response import StreamingBody
from botocore.utils import get_environ_proxies

from controller.aws.calls import AwsCall
from controller.aws.errors import BOTOCORE_ERRORS, map_error
from controller.aws.session import is_loopback
from controller.aws.streaming_body import ResponseBody
from controller.errors import DeniedError, MissingError, RejectedError, UnavailableError

_ERRORS_BY_STATUS = {403: DeniedError, 404: MissingError}


def fetch_signed_url(url: str, source_call: AwsCall) -> ResponseBody:
    """Get `url`, which the response to `source_call` named, with the proxies and certificates that boto3 would use.

    Raises UnavailableError, DeniedError (the signature has expired), MissingError, or RejectedError for a URL that
    isn't https. Errors never show the URL: it is a secret while it is valid.
    """
    scheme = urlsplit(url).scheme
    if scheme != "https" and not (scheme == "http" and is_loopback(url)):
        raise RejectedError("AWS named a URL that is not https", where=source_call.name)
    session = URLLib3Session(proxies=get_environ_proxies(url), timeout=(4, 30))
    try:
        answer = session.send(AWSRequest("GET", url, stream_output=True).prepare())
    except BOTOCORE_ERRORS as error:
        raise map_error(error, source_call) from error
    if answer.status_code != 200:
        answer.raw.close()
        refused = _ERRORS_BY_STATUS.get(answer.status_code, UnavailableError)
        raise refused(f"a signed URL was answered with {answer.status_code}", where=source_call.name)
    return ResponseBody(StreamingBody(answer.raw, answer.headers.get("content-length")), source_call)
