"""Builds a wheel whose decision core is compiled by mypyc, when `ACT_COMPILE=1` asks for it; otherwise a pure one.

Both are the same source. What is compiled is named in pyproject.toml: the pure files that every decision runs through.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ASKED = "ACT_COMPILE"


class CompileHook(BuildHookInterface):
    """The build hook `custom` of hatchling."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What the type checker has to know; nothing for a pure wheel."""
        if not os.environ.get(ASKED):
            return []
        extras: dict[str, list[str]] = self.metadata.core.optional_dependencies
        server = [name for extra in ("cli", "proof", "server") for name in extras[extra] if "[" not in name]
        return ["mypy[mypyc]>=1.19", "setuptools>=80", "types-setuptools", *self.metadata.core.dependencies, *server]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not os.environ.get(ASKED) or version == "editable":
            return
        self._folder = Path(tempfile.mkdtemp(prefix="act-compile-"))
        for library in compiled(Path(self.root), self.config["modules"], self._folder):
            build_data["force_include"][str(library)] = str(library.relative_to(self._folder / "lib"))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if folder := getattr(self, "_folder", None):
            shutil.rmtree(folder)


def compiled(root: Path, modules: list[str], folder: Path) -> list[Path]:
    """The libraries of these modules, below `folder`/lib as they lie in a wheel.

    Raises:
        SystemExit: a module does not compile; what the compiler said is on stderr.
    """
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    source, before = folder / "src", Path.cwd()
    shutil.copytree(root / "src", source, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    config = folder / "mypy.ini"
    # `make lint` checks everything; here only what is compiled has to be sound.
    options = ("python_version = 3.11", "plugins = pydantic.mypy", f"mypy_path = {source}", "follow_imports = silent")
    config.write_text("\n".join(("[mypy]", *options, "ignore_missing_imports = true", "")))
    os.chdir(folder)  # mypyc writes its C files below the working folder
    try:
        files = [f"src/{module.replace('.', '/')}.py" for module in modules]
        extensions = mypycify([f"--config-file={config}", *files], opt_level="2", debug_level="0")
        command = build_ext(Distribution({"ext_modules": extensions, "package_dir": {"": "src"}}))
        command.build_lib, command.build_temp = str(folder / "lib"), str(folder / "temp")
        command.parallel = os.cpu_count()
        command.ensure_finalized()
        command.run()
    finally:
        os.chdir(before)
    return sorted((folder / "lib").rglob("*.so"))
