"""Fake vendors on loopback: for tests, and for whoever develops without keys, without money or without a network.

They speak as the vendors do (the vendors' own SDKs run at them, in tests/emulate), make plain pictures of the right
size, and write down in a ledger of their own what they were asked and would have charged. What they are to do wrong is
said by the request itself or before it: see `behavior.py`.
"""

from celeste_image.emulate.base import FakeVendor
from celeste_image.emulate.behavior import Behavior, BehaviorUnknown
from celeste_image.emulate.ledger import Entry, Ledger, fingerprint
from celeste_image.emulate.server import Emulator, emulating
from celeste_image.emulate.vendors.bfl import FakeBfl
from celeste_image.emulate.vendors.gemini import FakeGemini
from celeste_image.emulate.vendors.openai import FakeAzureOpenAI, FakeCompatible, FakeOpenAI
from celeste_image.emulate.vendors.stability import FakeStability

__all__ = [
    "EMULATED",
    "Behavior",
    "BehaviorUnknown",
    "Emulator",
    "Entry",
    "FakeVendor",
    "Ledger",
    "emulating",
    "fingerprint",
]

EMULATED: dict[str, type[FakeVendor]] = {
    cls.name: cls for cls in (FakeOpenAI, FakeGemini, FakeStability, FakeBfl, FakeAzureOpenAI, FakeCompatible)
}
"""Those that can be emulated, by the names of their providers."""
