"""Python side of Mesh: measurement programs and their tests."""
