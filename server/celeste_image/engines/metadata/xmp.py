"""Reads the properties of an XMP packet, by their names in the packet. External entities and links are never read."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from celeste_image.engines.metadata.values import entry

__all__ = ["PacketRefused", "read_xmp", "xmp_entries"]

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XML = "http://www.w3.org/XML/1998/namespace"
MAX_DEPTH = 24
MAX_NODES = 20_000


class PacketRefused(Exception):
    """The packet is refused; the text gives the reason, as in "has a document type"."""


@dataclass(slots=True)
class Node:
    """One element: its name as `prefix:name`, its attributes by such names, its children and texts."""

    name: str
    attributes: dict[str, str]
    children: list["Node"] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


def read_xmp(packet: bytes) -> dict[str, Any]:
    """Returns the properties by name, such as `dc:title`.

    A value is a text, a list (bag or sequence), an object (structure), or an object by language (alternatives).

    Raises:
        PacketRefused: The packet is not XML, is nested too deeply, has too many elements, or has a document type. A
            document type could define entities that expand without bound.
    """
    found: dict[str, Any] = {}
    for node in _descriptions(_parsed(packet), 0):
        found |= _properties(node)
    return found


def xmp_entries(properties: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the properties as entries."""
    for name, value in properties.items():
        yield entry("xmp", name, value)


def _parsed(packet: bytes) -> Node:
    root = Node("", {})
    path = [root]
    count = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if len(path) > MAX_DEPTH or count > MAX_NODES:
            raise PacketRefused(f"has more than {MAX_NODES:,} elements or more than {MAX_DEPTH} levels")
        node = Node(_named(name), {_named(key): value for key, value in attributes.items()})
        path[-1].children.append(node)
        path.append(node)

    def end(name: str) -> None:
        path.pop()

    def text(data: str) -> None:
        path[-1].texts.append(data)

    def refuse(*_: Any) -> None:
        raise PacketRefused("has a document type, which XMP does not use")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.namespace_prefixes = True
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(packet.strip(b"\x00 \r\n\t"), True)
    except (expat.ExpatError, ValueError, LookupError) as error:  # a bad encoding raises the latter two
        raise PacketRefused("is not valid XML") from error
    return root


def _named(name: str) -> str:
    """Returns `prefix:name` for expat's `uri name prefix`. RDF and XML get their usual prefixes in every packet."""
    uri, _, rest = name.rpartition(" ") if name.count(" ") == 1 else name.partition(" ")
    local, _, prefix = rest.partition(" ")
    if uri in (RDF, XML):
        return f"{'rdf' if uri == RDF else 'xml'}:{local}"
    return f"{prefix}:{local}" if prefix else local


def _descriptions(node: Node, depth: int) -> Iterator[Node]:
    """Yields the outermost `rdf:Description` elements, at most 3 levels down."""
    for child in node.children:
        if child.name == "rdf:Description":
            yield child
        elif depth < 3:
            yield from _descriptions(child, depth + 1)


def _properties(node: Node) -> dict[str, Any]:
    """Returns the properties of a description or a structure, from its attributes and its child elements."""
    found: dict[str, Any] = {
        name: value for name, value in node.attributes.items() if not name.startswith(("rdf:", "xml:")) and ":" in name
    }
    for child in node.children:
        found[child.name] = _value(child)
    return found


def _value(node: Node) -> Any:
    if "rdf:resource" in node.attributes:
        return node.attributes["rdf:resource"]
    for child in node.children:
        match child.name:
            case "rdf:Bag" | "rdf:Seq":
                return [_value(item) for item in child.children]
            case "rdf:Alt":
                texts = {item.attributes.get("xml:lang", str(place)): item for place, item in enumerate(child.children)}
                values = {language: _value(item) for language, item in texts.items()}
                return next(iter(values.values())) if len(values) == 1 else values
            case "rdf:Description":
                return _properties(child)
    if node.children or any(not name.startswith(("rdf:", "xml:")) for name in node.attributes):
        return _properties(node)
    return "".join(node.texts).strip()
