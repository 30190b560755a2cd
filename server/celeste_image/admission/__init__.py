"""Admission: whether a call has room, and when its caller should come back if not.

`budget` hands out amounts (bytes, pixels, calls), `slots` hands out places in a queue that knows deadlines, and
`breaker` pauses a provider that keeps failing. All of them share fairly between askers: see `asker`.
"""

from celeste_image.admission.asker import asker
from celeste_image.admission.breaker import Breaker
from celeste_image.admission.budget import MOST_WAITING, UNLIMITED, Budget, ByteBudget, Hold
from celeste_image.admission.slots import Slots
from celeste_image.admission.turns import Turn

__all__ = ["MOST_WAITING", "UNLIMITED", "Breaker", "Budget", "ByteBudget", "Hold", "Slots", "Turn", "asker"]
