"""The host's side of the container: builds the image and runs the harness in it.

Standard library only, for any Python 3.8: it runs before there is a .venv, on machines that will
never need one.
"""
