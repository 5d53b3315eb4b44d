"""The pages of the Python interface: every public name of a package, from its docstring."""

import importlib
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


def _page(package: str) -> str:
    names = "\n\n".join(f"::: {package}.{name}" for name in public_names(package))
    about = (importlib.import_module(package).__doc__ or "").split("\n\n")[0]
    return f"# {PACKAGES[package]}: {package}\n\n{about.strip()}\n\n{names}\n"
