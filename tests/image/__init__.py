"""The image: built by performing its Containerfile, and run as Kubernetes runs it."""
