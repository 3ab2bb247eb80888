"""The host side of the container: builds the image and runs the harness in it.

Needs only Python 3.8 and the standard library, because it runs before .venv exists, and on machines
that never need one.
"""
