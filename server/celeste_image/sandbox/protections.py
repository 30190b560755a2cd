"""What the controls of a worker process protect. Several controls may do the same: one that holds is enough."""

from collections.abc import Collection, Mapping

from celeste_image.core.protection import Protection

__all__ = ["unprotected"]

BY: Mapping[Protection, Collection[Collection[str]]] = {
    Protection.READS: (("landlock",), ("private_root",)),
    Protection.WRITES: (("private_root",), ("system_calls",)),
    Protection.NETWORK: (("system_calls",), ("network_namespace", "private_root")),
    # Without one of these, files in /proc show environment and memory of the same user's other processes.
    Protection.PROCESSES: tuple(("system_calls", files) for files in ("landlock", "private_root", "other_user")),
    Protection.PROGRAMS: (("system_calls",),),
    Protection.PRIVILEGES: (("no_capabilities", "no_new_privileges"),),
}
"""Sets of controls for each protection; one set is enough."""


def unprotected(controls: Mapping[str, str], wanted: Collection[Protection] = tuple(Protection)) -> dict[str, str]:
    """Returns the protections that do not hold, and why: the controls that are missing, with their reasons."""
    found = {}
    for protection in wanted:
        sets = BY[protection]
        if not any(all(controls.get(name, "unknown") == "" for name in names) for names in sets):
            missing = dict.fromkeys(name for names in sets for name in names if controls.get(name, "unknown"))
            found[protection.value] = "; ".join(f"{name}: {controls.get(name, 'unknown')}" for name in missing)
    return found
