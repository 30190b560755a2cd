"""Settings of the cache of results: the table `[cache]`."""

from typing import Annotated

from pydantic import Field

from celeste_image.config.callers import CallerName
from celeste_image.config.section import Section

__all__ = ["CacheSettings"]

MIB = 1 << 20


class CacheSettings(Section):
    """`[cache]`: results that equal requests of a tenant get again. See docs/cache.md."""

    enabled: bool = False
    """Whether results are cached."""
    hours: Annotated[float, Field(gt=0, le=24 * 365 * 1000)] = 24
    """How long a result is given again; at most `store.retention_hours`, since its images are artifacts."""
    bytes: Annotated[int, Field(ge=MIB)] = 10 * 1024 * MIB
    """Most bytes of the images of all cached results. The least recently used results are removed first."""
    memory_bytes: Annotated[int, Field(ge=0)] = 16 * MIB
    """Most memory for results without their images, so that they need not be read and decoded for each hit."""
    except_tenants: list[CallerName] = []
    """Tenants whose results are never cached."""
