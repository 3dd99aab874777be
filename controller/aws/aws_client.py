"""Send calls to AWS: a read is retried for a short time, a write is sent exactly once.

botocore never retries here (`total_max_attempts=1`): its standard retry sends a create again if only the response was
lost, and AWS then creates a second object. `session` makes sessions and endpoints.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import tenacity
from botocore.paginate import Paginator

from controller.aws.calls import AwsCall, CallCounter, Hook, is_read_only
from controller.aws.errors import BOTOCORE_ERRORS, map_error
from controller.aws.rate_limits import MAX_WAIT_SECONDS, RateLimiter
from controller.aws.streaming_body import ResponseBody
from controller.errors import CredentialsError, ThrottledError, UnavailableError

_MAX_ATTEMPTS = 4
_RETRY_SECONDS = 10.0  # seconds after which a failing read is not sent again


class ClientFactory(Protocol):
    """Makes botocore clients; `session` has the real one."""

    region: str
    partition: str

    def client(self, service: str) -> Any:
        """Return a client that sends each call once."""

    def paginator(self, service: str, operation: str) -> dict[str, Any] | None:
        """Return botocore's paginator model of an operation; None if it has none."""


class AwsClient:
    """The client of one account and Region. Thread-safe; `call_counter` counts the calls."""

    def __init__(
        self,
        client_factory: ClientFactory,
        *,
        expected_account: str | None = None,
        hooks: Sequence[Hook] = (),
        rate_limiter: RateLimiter | None = None,
    ) -> None:
        self.region, self.partition = client_factory.region, client_factory.partition
        self.call_counter = CallCounter()
        self._client_factory, self._expected_account = client_factory, expected_account
        self._hooks, self._rate_limiter = tuple(hooks), rate_limiter or RateLimiter()
        self._lock = threading.RLock()
        self._clients: dict[str, Any] = {}
        self._account: str | None = None
        self._listing_cache: dict[str, Sequence[Any]] | None = None

    def with_hooks(self, *hooks: Hook) -> AwsClient:
        """Return the same client with more hooks; it shares the counter, the connections and the rate limits."""
        other = copy.copy(self)
        other._hooks = (*self._hooks, *hooks)  # noqa: SLF001  (its own class)
        return other

    def with_listing_cache(self) -> AwsClient:
        """Return the same client for one survey in one thread: `list_items` fetches each listing once."""
        other = copy.copy(self)
        other._listing_cache = {}  # noqa: SLF001  (its own class)
        return other

    @property
    def account(self) -> str:
        """The twelve digits of the account that the credentials belong to, requested once.

        Raises CredentialsError if it isn't the expected account.
        """
        with self._lock:
            if self._account is None:
                account = str(self.read("sts", "get_caller_identity")["Account"])
                if self._expected_account not in (None, account):
                    raise CredentialsError(
                        f"the credentials belong to account {account}, not to {self._expected_account}",
                        why="the Environment names its account so that nothing is changed in another one",
                        hint="choose another profile, or correct spec.account",
                    )
                self._account = account
            return self._account

    def read(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """Send a call that changes nothing; retry it if AWS throttles, fails or can't be reached.

        `service` and `operation` are boto3's names, `params` AWS's. Returns AWS's response without its
        ResponseMetadata. Raises AwsError (ThrottledError instead of a sleep of more than a second) or CredentialsError.
        """
        if not is_read_only(operation):
            raise ValueError(f"{service}.{operation} may change something: use write()")
        call = AwsCall("read", service, operation, params)
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_retryable),
            wait=tenacity.wait_exponential_jitter(multiplier=0.1, max=MAX_WAIT_SECONDS, jitter=0.1),
            stop=tenacity.stop_any(
                tenacity.stop_after_attempt(_MAX_ATTEMPTS), tenacity.stop_before_delay(_RETRY_SECONDS)
            ),
            sleep=self._rate_limiter.sleep_for,
            reraise=True,
        )
        return retrying(self._send, call)

    def write(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """Send a call that changes something, exactly once.

        Raises AnswerLostError if it may have been executed (timeout, lost connection, 5xx), and any other AwsError or
        CredentialsError if it was not.
        """
        return self._send(AwsCall("write", service, operation, params))

    def iter_items(self, service: str, operation: str, items_key: str, /, **params: Any) -> Iterator[Any]:
        """Yield every item under `items_key` of every page of a listing; each page is a `read`."""

        def page(**turned: Any) -> dict[str, Any]:
            return self.read(service, operation, **turned)

        model = self._client_factory.paginator(service, operation)
        if model is None:
            yield from page(**params).get(items_key, ())
            return
        for answer in Paginator(page, model, None).paginate(**params):
            yield from answer.get(items_key, ())

    def list_items(self, service: str, operation: str, items_key: str, /, **params: Any) -> Sequence[Any]:
        """Return every item of a listing that several types read; the caller must not change it.

        See `with_listing_cache`.
        """
        if self._listing_cache is None:
            return tuple(self.iter_items(service, operation, items_key, **params))
        asked = json.dumps([service, operation, items_key, params], sort_keys=True)
        if asked not in self._listing_cache:
            self._listing_cache[asked] = tuple(self.iter_items(service, operation, items_key, **params))
        return self._listing_cache[asked]

    def _send(self, call: AwsCall) -> dict[str, Any]:
        client = self._client(call)
        account = "" if call.service == "sts" else self.account
        self._rate_limiter.take_token(account, self.region, call.service, call.operation)
        for hook in self._hooks:
            hook.before(call)
        self.call_counter.count(call)
        try:
            answer: dict[str, Any] = getattr(client, call.operation)(**call.params)
        except BOTOCORE_ERRORS as error:
            raised = map_error(error, call)
            if isinstance(raised, ThrottledError):
                self._rate_limiter.drain(account, self.region, call.service, call.operation)
            for hook in self._hooks:
                hook.after(call, raised)
            raise raised from error
        for hook in self._hooks:
            hook.after(call, answer)
        answer.pop("ResponseMetadata", None)
        return {
            name: ResponseBody(value, call) if ResponseBody.is_stream(value) else value
            for name, value in answer.items()
        }

    def _client(self, call: AwsCall) -> Any:
        with self._lock:
            if call.service not in self._clients:
                try:
                    self._clients[call.service] = self._client_factory.client(call.service)
                except BOTOCORE_ERRORS as error:
                    raise map_error(error, call) from error
            return self._clients[call.service]


def _is_retryable(error: BaseException) -> bool:
    """Return whether AWS throttled or failed the call.

    Our own rate limiter's refusal (it has no code) already has a delay.
    """
    return isinstance(error, UnavailableError) or (isinstance(error, ThrottledError) and error.code != "")
