"""Configuration: the settings of a server, from file, environment and flags.

sections.py      the tables and keys, with their defaults and ranges
cache.py         the table of the cache of results
callers.py       the tables of callers and of encryption
database.py      the table of the database
loading.py       puts the sources together, and finds every mistake at once
sources.py       file, environment and flags; where each setting comes from
files.py         TOML, YAML and JSON, with the line of each key
yaml_values.py   values of YAML 1.2
problems.py      a mistake, as a sentence with its place
references.py    secrets by value, by variable and by file
secret_text.py   the type of a secret setting
describe.py      what each setting means, from the docstrings of the tables
template.py      the file that `celeste config init` writes
schema.py        JSON Schema for editors
"""

from celeste_image.config.cache import CacheSettings
from celeste_image.config.database import DatabaseSettings
from celeste_image.config.loading import Configuration, load
from celeste_image.config.problems import ConfigurationInvalid, Problem, problems_in
from celeste_image.config.secret_text import SecretText
from celeste_image.config.sections import (
    ImageRule,
    ImageSettings,
    LedgerSettings,
    LogSettings,
    SafetySettings,
    SandboxSettings,
    ServerSettings,
    Settings,
    StoreSettings,
    default_store,
    revealed,
)
from celeste_image.config.sources import Flag

__all__ = [
    "CacheSettings",
    "Configuration",
    "ConfigurationInvalid",
    "DatabaseSettings",
    "Flag",
    "ImageRule",
    "ImageSettings",
    "LedgerSettings",
    "LogSettings",
    "Problem",
    "SafetySettings",
    "SandboxSettings",
    "SecretText",
    "ServerSettings",
    "Settings",
    "StoreSettings",
    "default_store",
    "load",
    "problems_in",
    "revealed",
]
