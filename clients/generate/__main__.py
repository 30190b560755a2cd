"""The command of `make generate`, `make stubs` and `make check-clients`."""

import argparse
import sys
import tempfile
from pathlib import Path

from clients.generate.contract import ROOT, Contract, Contracts, ToolFailed
from clients.generate.languages import OTHERS, PYTHON, Language

ALL = {language.name: language for language in (PYTHON, *OTHERS)}
GROUPS = {"all": tuple(ALL), "others": tuple(language.name for language in OTHERS)}


def committed(language: Language) -> dict[Path, bytes]:
    """Returns the content of a language's files in the repository, by path."""
    found = {path for pattern in language.owns for path in ROOT.glob(pattern) if path.is_file()}
    return {path.relative_to(ROOT): path.read_bytes() for path in found}


def made(language: Language, contract: Contract) -> dict[Path, bytes]:
    """Generates a language's files in a temporary folder and returns their content, by path in the repository."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        language.write(contract, out)
        return {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def replace(old: dict[Path, bytes], new: dict[Path, bytes]) -> None:
    """Writes the new files and removes the old ones that are no longer made."""
    for path in old.keys() - new.keys():
        (ROOT / path).unlink()
    for path, content in new.items():
        if old.get(path) != content:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_bytes(content)


def report(language: Language, old: dict[Path, bytes], new: dict[Path, bytes]) -> bool:
    """Prints each file that differs, and the command that mends it. Returns whether all are equal."""
    different = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
    for path in different:
        what = "is missing" if path not in old else "is no longer made" if path not in new else "differs"
        print(f"{path} {what}; run: make generate LANGUAGES={language.name}", file=sys.stderr)
    return not different


def arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(prog="python -m clients.generate", description=__doc__)
    parser.add_argument("--image", type=Path, help="only write the contract, as other languages get it, into this file")
    parser.add_argument("--check", action="store_true", help="change no file; exit with 1 if one differs")
    parser.add_argument(
        "--skip-missing", action="store_true", help="skip a language, loudly, if this machine lacks its toolchain"
    )
    words = f"{', '.join(ALL)}; all, the default; others, all but Python"
    parser.add_argument("languages", nargs="*", default=["all"], metavar="LANGUAGE", help=words)
    options = parser.parse_args()
    if unknown := [name for name in options.languages if name not in ALL | GROUPS]:
        parser.error(f"unknown language: {' '.join(unknown)}; there are: {words}")
    options.languages = [name for chosen in options.languages for name in GROUPS.get(chosen, (chosen,))]
    return options


def main() -> None:
    """Generates or checks the chosen languages. Exits with 1 if one differs, fails, or cannot be made."""
    options = arguments()
    good: list[str] = []
    missing: list[str] = []
    bad: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            contracts = Contracts.read(Path(folder))
        except ToolFailed as error:
            sys.exit(f"FAILED: {error}")
        if options.image:
            options.image.write_bytes(contracts.clients.image.read_bytes())
            return
        for name in options.languages:
            language = ALL[name]
            if needs := language.missing():
                missing.append(name)
                for need in needs:
                    print(f"{name}: `{need.command}` is not installed. It comes with {need.how}", file=sys.stderr)
                continue
            old = committed(language)
            try:
                new = made(language, contracts.server if language is PYTHON else contracts.clients)
            except (ToolFailed, OSError, LookupError, ValueError) as error:
                print(f"{name}: FAILED: {error}", file=sys.stderr)
                bad.append(name)
                continue
            if not options.check:
                replace(old, new)
            (good if not options.check or report(language, old, new) else bad).append(name)
    word = "CHECKED" if options.check else "MADE"
    for label, names in ((word, good), (f"NOT {word}, toolchain missing", missing), ("FAILED", bad)):
        if names:
            print(f"{label}: {' '.join(names)}")
    sys.exit(1 if bad or (missing and not options.skip_missing) else 0)


if __name__ == "__main__":
    main()
