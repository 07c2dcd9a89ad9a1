"""Recipes: short YAML files that hold only what differs from the defaults."""
