"""Typed, validated settings and how they are loaded."""
