"""The paths inside a Jupyter Server."""
