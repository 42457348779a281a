"""The driver that executes a notebook: one module a subject, `main` is where it begins."""
