"""The pages of the Python interface: every public name of a package, from its docstring."""

import importlib
from importlib.util import find_spec
from types import ModuleType

PACKAGES = {
    "bnnkit.nn": "Layers, signs and noises",
    "bnnkit.nn.estimators": "Estimators",
    "bnnkit.nn.weight_rules": "Weight rules",
    "bnnkit.models": "Networks",
    "bnnkit.data": "Data sets",
    "bnnkit.training": "Training",
    "bnnkit.export": "Export",
    "bnnkit.runtime": "Running a file",
    "bnnkit.artifact": "The file in memory",
    "bnnkit.zoo": "The zoo",
    "bnnkit.gradients": "Accuracy of gradients",
    "bnnkit.errors": "Errors",
}
"""The public packages and what each is about."""


def page_name(package: str) -> str:
    """Return the path of a package's page."""
    return f"reference/api/{package.removeprefix('bnnkit.').replace('.', '-')}.md"


def api_pages() -> dict[str, str]:
    """Return the pages in Markdown, by path."""
    return {page_name(package): _page(package) for package in PACKAGES}


def public_names(package: str) -> list[str]:
    """Return the names in `__all__`; of a module without it, the classes that it defines."""
    module = importlib.import_module(package)
    return list(getattr(module, "__all__", None) or _classes(module))


def _classes(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__ and name[0] != "_"
    ]


def path_of(package: str, name: str) -> str:
    """Return the path of a public name; that of a function whose module has its name is longer."""
    is_package = hasattr(importlib.import_module(package), "__path__")
    is_module = is_package and find_spec(f"{package}.{name}") is not None
    return f"{package}.{name}.{name}" if is_module else f"{package}.{name}"


def _page(package: str) -> str:
    names = "\n\n".join(f"::: {path_of(package, name)}" for name in public_names(package))
    about = (importlib.import_module(package).__doc__ or "").split("\n\n")[0]
    return f"# {PACKAGES[package]}: {package}\n\n{about.strip()}\n\n{names}\n"
