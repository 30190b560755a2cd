"""Writes the routes and messages of the contract into `strict.lua`. Run by `make generate`.

With `--check` it changes nothing, and exits with 1 if the file does not match the contract.
"""

import re
import sys
from pathlib import Path

from google.api import annotations_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

ROOT = Path(__file__).parents[2]
CONTRACT = ROOT / "server" / "celeste_image" / "rpc" / "contract.binpb"
SCRIPT = Path(__file__).with_suffix(".lua")
GENERATED = re.compile(r"(?<=-- Generated: begin\n).*?(?=-- Generated: end\n)", re.DOTALL)
PACKAGE = "celeste.image.v1"


def generated() -> str:
    """Returns the tables in Lua."""
    files = FileDescriptorSet.FromString(CONTRACT.read_bytes())
    pool = DescriptorPool()
    for file in files.file:
        pool.Add(file)
    routes: dict[str, str] = {}
    messages: dict[str, Descriptor] = {}
    for file in files.file:
        for method in (method for service in file.service for method in service.method):
            rule = method.options.Extensions[annotations_pb2.http]
            if file.package == PACKAGE and rule.body == "*":
                request = pool.FindMessageTypeByName(method.input_type.removeprefix("."))
                routes[_pattern(rule.post)] = request.name
                _collect(request, messages)
    lines = ["local ROUTES = {", *(f'  {{"{route}", "{name}"}},' for route, name in sorted(routes.items())), "}"]
    lines += ["local MESSAGES = {"]
    for name, message in sorted(messages.items()):
        words = " ".join(_word(field.name, _checked(field.message_type)) for field in message.fields)
        lines.append(f'  {name} = "{words}",')
    return "\n".join([*lines, "}"]) + "\n"


def _pattern(template: str) -> str:
    """Returns the Lua pattern of a path: `/v1/{name=artifacts/*}:verb` becomes `^/v1/artifacts/[^/]+:verb$`."""
    path = re.sub(r"\{\w+=([^}]*)\}", r"\1", template)
    return f"^{path.replace('*', '[^/]+')}$"


def _collect(message: Descriptor, found: dict[str, Descriptor]) -> None:
    if message.name in found:
        return
    found[message.name] = message
    for field in message.fields:
        if inner := _checked(field.message_type):
            _collect(inner, found)


def _checked(message: Descriptor | None) -> Descriptor | None:
    """Returns a message whose fields the contract names; None for scalars, maps and well-known messages."""
    if message is None or message.GetOptions().map_entry or message.file.package != PACKAGE:
        return None
    return message


def _word(name: str, message: Descriptor | None) -> str:
    return f"{name}={message.name}" if message else name


def main() -> None:
    """Writes the tables, or compares them with `--check`."""
    text = SCRIPT.read_text()
    made = GENERATED.sub(generated().replace("\\", r"\\"), text)
    if "--check" not in sys.argv[1:]:
        SCRIPT.write_text(made)
    elif made != text:
        sys.exit(f"{SCRIPT.relative_to(ROOT)} does not match the contract; run: make generate")


if __name__ == "__main__":
    main()
