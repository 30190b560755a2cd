"""Emulators: fake vendors on loopback, for tests and for development without keys, money or a network.

They speak the vendors' APIs (tests/emulate runs the vendors' own SDKs against them) and make simple images of the right
size. A ledger records each request and its price. A request, or a call before it, asks for faults: see `behavior.py`.
"""

from celeste_image.emulate.base import FakeVendor
from celeste_image.emulate.behavior import Behavior, BehaviorUnknown
from celeste_image.emulate.ledger import Entry, Ledger, fingerprint
from celeste_image.emulate.server import Emulator, emulating
from celeste_image.emulate.vendors.azure_openai import FakeAzureOpenAI
from celeste_image.emulate.vendors.bfl import FakeBfl
from celeste_image.emulate.vendors.compatible import FakeCompatible
from celeste_image.emulate.vendors.gemini import FakeGemini
from celeste_image.emulate.vendors.openai import FakeOpenAI
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
"""The fake vendors by the names of their providers."""
