"""Registries of names, options, noises and gradients that estimators and weight rules build on."""
