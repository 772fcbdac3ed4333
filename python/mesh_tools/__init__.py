"""Measures programs under several memory allocators, from outside."""
