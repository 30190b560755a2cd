"""Owner: the server that a row belongs to while its call runs, and how others see that it is gone."""

from collections.abc import Collection
from typing import Protocol

__all__ = ["Owner"]


class Owner(Protocol):
    """A running server, as the other servers of its ledger see it: alive until its process ends, however slow it is.

    Attributes:
        look_seconds: How often to look for servers that are gone.
    """

    look_seconds: float

    @property
    def name(self) -> str:
        """The name of this server; a restarted one has another."""

    async def begin(self) -> None:
        """Shows the others that this server lives. If that fails it goes on trying, and `check` raises."""

    def check(self) -> None:
        """Raises StorageUnavailable while the others may take this server for a dead one."""

    async def gone(self, names: Collection[str]) -> list[str]:
        """Returns which other servers have ended; a server of whom that is not sure is left out.

        Raises:
            OSError: The others can't be looked for.
            StorageUnavailable: Likewise.
        """

    async def close(self) -> None:
        """Ends the server's life: others may take over what it left open."""
