"""One attempt: a signed POST to a checked address, bounded in time and size, that follows nothing."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import httpx2

from act.database.clock import Clock
from act.database.keyfiles import KeysUnusable
from act.models import DeliveryError
from act.webhooks.addresses import Destinations, Refused, Target, unknown
from act.webhooks.signing import SigningSecrets
from act.webhooks.webhook import Attempt, Webhook, error_of, headers, in_use, retry_after, shown
from act.webhooks.wire import BoundedTransport

SECONDS = 10.0
CONNECT_SECONDS = 4.0
"""For one address; a name may have several."""
MAX_BODY = 16 * 1024
AGENT = "ACT-Webhooks/1"

_TIMEOUTS = {"connect": CONNECT_SECONDS, "read": SECONDS, "write": SECONDS, "pool": SECONDS}

log = logging.getLogger("act.webhooks")


class Post:
    """Sends; knows nothing of retries."""

    def __init__(
        self, clock: Clock, secrets: SigningSecrets, destinations: Destinations, seconds: float = SECONDS
    ) -> None:
        self._clock = clock
        self._secrets = secrets
        self._destinations = destinations
        self._seconds = seconds
        self._tls: ssl.SSLContext | None = None

    async def attempt(self, webhook: Webhook, id: str, body: str) -> Attempt:
        """Send one message. Whatever goes wrong is in the answer."""
        at, began = self._clock.now(), asyncio.get_running_loop().time()
        answer = _Answer()
        error = await self._try(webhook, id, body, at, answer)
        if answer.status is not None:  # the receiver has said what it thinks, though it may not have said all
            error = error_of(answer.status)
        duration = round((asyncio.get_running_loop().time() - began) * 1000)
        attempt = Attempt(at, duration, answer.status, error, retry_after=retry_after(answer.retry_after, at))
        return replace(attempt, answer=shown(bytes(answer.body), answer.secrets))

    async def _try(self, webhook: Webhook, id: str, body: str, at: datetime, answer: _Answer) -> DeliveryError | None:
        """Send, and collect what comes back in `answer`; why that failed, or None."""
        try:
            answer.secrets = [self._secrets.read(secret.id) for secret in in_use(webhook.secrets, at)]
            async with asyncio.timeout(self._seconds):
                target = self._destinations.read(webhook.url)
                addresses = await self._resolve(target)
                signed = headers(id, body, answer.secrets, at)
                await self._send(target, addresses, signed, body.encode(), answer)
        except Refused as refused:
            return refused.code
        except (KeysUnusable, PermissionError) as error:
            log.error("webhook %s cannot be signed: %s", webhook.id, error)
            return "secret_missing"
        except (TimeoutError, httpx2.TimeoutException):
            return "timeout"
        except httpx2.ConnectError as error:
            return "tls_failed" if _is_tls(error) else "connect_failed"
        except httpx2.HTTPError:
            return "protocol_error"
        except Exception as error:  # noqa: BLE001 - told by its kind
            # Without its words: they could quote the URL, which may hold a credential.
            log.error("webhook %s: the attempt failed with %s", webhook.id, type(error).__name__)
            return "internal"
        return None

    async def _resolve(self, target: Target) -> Sequence[str]:
        try:
            found = await asyncio.wrap_future(self._destinations.find(target))
        except (OSError, UnicodeError):
            raise unknown() from None
        return self._destinations.checked(found)

    async def _send(
        self, target: Target, addresses: Sequence[str], signed: dict[str, str], body: bytes, answer: _Answer
    ) -> None:
        """To the first of the addresses that a connection can be made to."""
        for number, address in enumerate(addresses, 1):
            try:
                await self._send_to(target, address, signed, body, answer)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                if number == len(addresses) or _is_tls(error):
                    raise
            else:
                return

    async def _send_to(
        self, target: Target, address: str, signed: dict[str, str], body: bytes, answer: _Answer
    ) -> None:
        # A transport alone, and a new one each time: no cookies, no redirects, no proxies of the environment, and no
        # connection that was made for another name on the same address. The URL names the address, and so that is
        # where it goes; Host and SNI, against which the certificate is checked, keep the name.
        request = httpx2.Request(
            "POST",
            target.at(address),
            headers={
                "host": target.url.netloc.decode("ascii"),
                "user-agent": AGENT,
                "content-type": "application/json",
                "accept-encoding": "identity",
                "connection": "close",
                **signed,
            },
            content=body,
            extensions={"timeout": _TIMEOUTS, "sni_hostname": target.host},
        )
        async with BoundedTransport(self._context()) as transport:
            response = await transport.handle_async_request(request)
            try:
                answer.status = response.status_code
                answer.retry_after = response.headers.get("retry-after")
                async for chunk in response.aiter_raw():
                    answer.body += chunk[: MAX_BODY - len(answer.body)]
                    if len(answer.body) >= MAX_BODY:
                        break
            finally:
                await response.aclose()

    def _context(self) -> ssl.SSLContext:
        """Reading the system's certificates takes a while; once is enough."""
        if self._tls is None:
            self._tls = httpx2.create_ssl_context()
        return self._tls


class _Answer:
    """What came back so far, also when the rest does not."""

    def __init__(self) -> None:
        self.secrets: list[str] = []
        self.status: int | None = None
        self.retry_after: str | None = None
        self.body = bytearray()


def _is_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
