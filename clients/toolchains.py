"""The toolchains of the clients' languages: what to look for, and how to install it."""

import shutil
from dataclasses import dataclass

__all__ = ["CARGO", "CHROMIUM", "GO", "JDK", "MAVEN", "NPM", "Toolchain"]


@dataclass(frozen=True)
class Toolchain:
    """A program that the machine must have."""

    command: str
    how: str  # how to install it
    others: tuple[str, ...] = ()  # commands that serve as well

    @property
    def is_missing(self) -> bool:
        """Whether the machine has none of the commands."""
        return not any(shutil.which(command) for command in (self.command, *self.others))


NPM = Toolchain("npm", "Node 20 or newer: https://nodejs.org, or apt-get install npm")
CHROMIUM = Toolchain("chromium", "apt-get install chromium", ("chromium-browser", "google-chrome"))
GO = Toolchain("go", "Go 1.26 or newer: https://go.dev/dl")
JDK = Toolchain("javac", "a JDK from 17 on: apt-get install openjdk-17-jdk-headless")
MAVEN = Toolchain("mvn", "Maven and a JDK from 17 on: https://maven.apache.org, or apt-get install maven")
CARGO = Toolchain("cargo", "Rust 1.88 or newer: https://rustup.rs")
