"""Typed, validated settings, and functions that load them."""
