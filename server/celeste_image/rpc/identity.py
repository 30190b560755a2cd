"""Identity: finds the caller of a call by API key or client certificate, and the id of its request."""

import uuid
from collections.abc import Hashable
from contextvars import ContextVar
from typing import Any

from celeste_image.callers import Callers
from celeste_image.core.caller import ANONYMOUS, Caller
from celeste_image.core.errors import CelesteError, CredentialsInvalid, NotAllowed
from celeste_image.rpc.access import ACCESS, Access
from celeste_image.rpc.wrappers import Behavior, Context, Method, Room

__all__ = ["asker_of", "caller", "check_caller", "identifying", "request_id_of"]

caller: ContextVar[Caller] = ContextVar("celeste_caller", default=ANONYMOUS)
"""The caller of the call that this task works for."""
UNKNOWN = Caller("", "")
"""The caller of a call that is refused for its credentials."""


def identifying(behavior: Behavior, method: Method, room: Room) -> Behavior:
    """Lets a call in if its caller may call the method, before memory is reserved and the request is read.

    On a server that does not know its callers, only the table is asked, once for a method.
    """
    if method.name in ACCESS and not (room.callers.are_known and ACCESS[method.name] is Access.CALLERS):
        return behavior

    async def identified(request: Any, context: Context) -> Any:
        try:
            check_caller(method.name, context, room.callers)
        except CelesteError:
            if method.streams_requests:
                await room.leftovers.read(aiter(request))
            raise
        return await behavior(request, context)

    return identified


def check_caller(method: str, context: Context, callers: Callers) -> None:
    """Finds the caller of a call, for `caller`.

    Raises:
        CredentialsInvalid: The server does not know the caller.
        NotAllowed: Nobody may call the method.
    """
    access = ACCESS.get(method)
    if access is None:
        raise NotAllowed(f"{method}: nobody may call this method")
    if access is Access.CALLERS and callers.are_known:
        caller.set(UNKNOWN)
        caller.set(_identify(context, callers))


def _identify(context: Context, callers: Callers) -> Caller:
    """Returns the caller. A key decides alone: with a wrong one, a certificate does not help."""
    given = [value for name, value in context.invocation_metadata() or () if name == "authorization"]
    if len(given) > 1:
        raise CredentialsInvalid("the call has several authorization headers")
    if given:
        scheme, _, key = str(given[0]).strip().partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise CredentialsInvalid("the authorization header must be: Bearer KEY")
        return callers.of_key(key)
    if callers.have_certificates:
        facts = context.auth_context()
        if "x509_pem_cert" in facts:
            return callers.of_certificate([uri.decode(errors="replace") for uri in facts.get("peer_uri", ())])
    other = ", and its connection has no client certificate" if callers.have_certificates else ""
    raise CredentialsInvalid(f"the call has no API key{other}; send the header authorization: Bearer KEY")


def asker_of(context: Context) -> Hashable:
    """Returns who shares room with other askers: the caller, or the connection of an anonymous one."""
    who = caller.get()
    return context.peer() if who is ANONYMOUS else who


def request_id_of(message: Any) -> str:
    """Returns the id of a request in lower case, or a new one when the request has none or an invalid one."""
    given: str = getattr(message, "request_id", "")
    return given.lower() if given and _is_id(given) else str(uuid.uuid4())


def _is_id(text: str) -> bool:
    """Returns whether a text is the usual form of a UUID other than zero."""
    try:
        id_ = uuid.UUID(text)
    except ValueError:
        return False
    return id_.int != 0 and len(text) == len(str(id_))
