"""Instances trained in a second, by the plain loop, by processes and together."""
