"""The services behind the routes; `container.py` wires them together. Importing one module loads only what it needs."""
